"""What an experiment of `benchmarks.paper` found, and what all sections of its page share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from router.evaluation.experiment import Row

OURS = "primal-dual"


@dataclass(frozen=True, slots=True)
class Found:
    """A row of an experiment.

    Attributes:
        dataset: Name of the data.
        experiment: Name of the experiment; the page has a section for each.
        point: What the row is plotted against.
        row: A policy's figures.
        note: What was special about it.
    """

    dataset: str
    experiment: str
    point: float | str
    row: Row
    note: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """What one job found: an experiment on one split of one dataset.

    Attributes:
        dataset: Name of the data.
        experiment: Name of the experiment.
        commit: Of the code that measured it, with its date.
        found: The rows.
    """

    dataset: str
    experiment: str
    commit: str
    found: Sequence[Found]


Groups = Mapping[tuple[str, float | str, str], list[Row]]
"""(dataset, point, policy) -> the rows of all seeds."""


def group(found: Iterable[Found]) -> Groups:
    """Rows by dataset, point and policy."""
    groups: dict[tuple[str, float | str, str], list[Row]] = {}
    for one in found:
        groups.setdefault((one.dataset, one.point, one.row.policy), []).append(one.row)
    return groups


def mean_of(rows: Sequence[Row], field: str) -> float:
    """Return the mean of a field of rows."""
    return fmean(getattr(row, field) for row in rows)


def rp_text(rows: Sequence[Row]) -> str:
    """Return the mean RP as text, with its spread over splits."""
    spread = f" ± {pstdev(row.relative for row in rows):.1f}" if len(rows) > 1 else ""
    return f"{mean_of(rows, 'relative'):.1f}{spread}"


def datasets_in(groups: Groups) -> list[str]:
    """Return the datasets in order of appearance."""
    return list(dict.fromkeys(dataset for dataset, _, _ in groups))


def points_in(groups: Groups, dataset: str) -> list[float | str]:
    """Return a dataset's points in order of appearance."""
    return list(dict.fromkeys(point for name, point, _ in groups if name == dataset))


def policies_in(groups: Groups) -> list[str]:
    """Return the policies in order of appearance."""
    return list(dict.fromkeys(policy for _, _, policy in groups))
