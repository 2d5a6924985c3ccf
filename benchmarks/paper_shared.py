"""The section of docs/results.md on one budget for all models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from benchmarks.markdown import markdown_table
from router.evaluation import plots
from router.evaluation.frontier import CONTROL, OURS, frontier, headline
from router.evaluation.summary import Line

SHOWN = (1.0, 2.0, 4.0, 8.0)
"""Budgets of the table, in what the cheapest model needs."""
AIMED = (2.0, 4.0, 8.0)
"""Those whose mean counts."""


@dataclass(frozen=True, slots=True)
class Shared:
    """One dataset's lines, means over its splits, and what each model alone costs and scores."""

    lines: Sequence[Line]
    singles: Mapping[str, tuple[float, float]]


def shared_section(found: Mapping[str, Shared], folder: Path) -> str:
    """Return the section, and write a plot for each dataset.

    Args:
        found: By dataset.
        folder: Of the plots.
    """
    curves = {name: frontier(one.lines, one.singles) for name, one in found.items()}
    rows, cells = [], []
    for name, one in found.items():
        ratio = _over_control(one.lines)
        rows.append(
            [name, *(f"{ratio[budget]:.3f}" if budget in ratio else "–" for budget in SHOWN)]
        )
        cells += [ratio[budget] for budget in AIMED if budget in ratio]
    parts = [
        "## One budget for all models",
        "\n".join(f"- {name}: {' '.join(headline(curve))}" for name, curve in curves.items()),
        f"Score of `{OURS}` over that of the best static mix at the same money (mean of 20 draws a "
        "split), by budget in what the cheapest model needs for all queries:",
        markdown_table(["dataset", *(f"{budget:g} x" for budget in SHOWN)], rows),
    ]
    if cells:
        parts.append(f"Mean from 2 x on {fmean(cells):.3f}, least {min(cells):.3f}.")
    links = []
    for name, curve in curves.items():
        path = folder / f"money-{name}.svg"
        path.write_text(plots.frontier(curve), encoding="utf-8")
        links.append(f"![{name}: score against money](results/{path.name})")
    return "\n\n".join([*parts, "\n".join(links)])


def _over_control(lines: Sequence[Line]) -> dict[float, float]:
    """Return our performance over the static mix's, by budget."""
    by_policy = {
        policy: {line.cell.budget: line.performance for line in lines if line.policy == policy}
        for policy in (OURS, CONTROL)
    }
    return {
        budget: score / by_policy[CONTROL][budget]
        for budget, score in by_policy[OURS].items()
        if by_policy[CONTROL].get(budget)
    }
