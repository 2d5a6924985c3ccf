"""Summaries of rows over seeds and orders: mean and spread of each policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any, NamedTuple

from router.evaluation.engine import Run
from router.evaluation.experiment import Row
from router.evaluation.problem import Problem
from router.policies.base import NONE


class Cell(NamedTuple):
    """What a table compares policies on; seeds and orders are its repetitions.

    Attributes:
        budget: As in `Setting`.
        split: As in `Setting`.
        models: As in `Setting`.
    """

    budget: float
    split: str
    models: int


@dataclass(frozen=True, slots=True)
class Line:
    """One policy in one cell: means over repetitions.

    Attributes:
        policy: Its name.
        cell: The cell.
        runs: Repetitions.
        arrivals: Queries of a run.
        relative: Performance relative to the reference, per cent.
        spread: Standard deviation of `relative`, per cent.
        performance: Sum of scores.
        cost: Dollars.
        per_dollar: Performance per dollar.
        served: Queries sent and paid.
        deferred: Queries sent nowhere.
        lost: Queries sent whose cost no longer fitted.
    """

    policy: str
    cell: Cell
    runs: int
    arrivals: int
    relative: float
    spread: float
    performance: float
    cost: float
    per_dollar: float
    served: float
    deferred: float
    lost: float

    def cells(self) -> tuple[str, ...]:
        """Return the texts below `HEADS`."""
        return (
            self.policy,
            f"{self.relative:.1f}",
            f"{self.spread:.1f}" if self.runs > 1 else "–",
            f"{self.performance:.1f}",
            f"{self.cost:.4f}",
            f"{self.per_dollar:.0f}",
            f"{self.served:.0f}",
            f"{self.deferred:.0f}",
            f"{self.lost:.0f}",
        )


HEADS = ("policy", "RP %", "±", "performance", "cost $", "per $", "served", "deferred", "lost")
"""Columns of the main table, see `Line.cells`."""


def summarise(rows: Iterable[Row]) -> list[Line]:
    """Return one line for each policy and cell; both in order of appearance."""
    groups: dict[tuple[Cell, str], list[Row]] = {}
    for row in rows:
        setting = row.setting
        cell = Cell(setting.budget, setting.split, setting.models)
        groups.setdefault((cell, row.policy), []).append(row)
    lines = [_line(policy, cell, group) for (cell, policy), group in groups.items()]
    order = list(dict.fromkeys(line.cell for line in lines))
    return sorted(lines, key=lambda line: order.index(line.cell))


def _line(policy: str, cell: Cell, rows: Sequence[Row]) -> Line:
    return Line(
        policy=policy,
        cell=cell,
        runs=len(rows),
        arrivals=rows[0].arrivals,
        relative=fmean(row.relative for row in rows),
        spread=pstdev(row.relative for row in rows),
        performance=fmean(row.performance for row in rows),
        cost=fmean(row.cost for row in rows) / 1e9,
        per_dollar=fmean(row.per_dollar for row in rows),
        served=fmean(row.served for row in rows),
        deferred=fmean(row.deferred for row in rows),
        lost=fmean(row.lost for row in rows),
    )


def as_json(row: Row) -> dict[str, Any]:
    """Return a row as plain values: dollars for people, nano-dollars for exact sums."""
    setting = row.setting
    return {
        "policy": row.policy,
        "budget": setting.budget,
        "split": setting.split,
        "models": setting.models,
        "seed": setting.seed,
        "order": setting.order,
        "arrivals": row.arrivals,
        "performance": row.performance,
        "relative_performance": row.relative,
        "cost_usd": row.cost / 1e9,
        "cost_nano_usd": row.cost,
        "performance_per_usd": row.per_dollar,
        "served": row.served,
        "deferred": row.deferred,
        "lost": row.lost,
        "spent_nano_usd": dict(row.spent),
        "limits_nano_usd": dict(row.limits),
    }


def decisions(run: Run, problem: Problem, kind: str) -> Iterator[dict[str, Any]]:
    """Yield each decision of a run as plain values, in order of arrival.

    Args:
        run: What a policy did.
        problem: What it was run on.
        kind: Of the estimates that it saw.
    """
    estimates, names = problem.estimates(kind), problem.catalog.names
    for row, query in enumerate(problem.ids):
        model = int(run.model[row])
        yield {
            "id": query,
            "model": None if model == NONE else names[model],
            "reason": run.reason[row],
            "estimates": {
                name: {
                    "quality": float(estimates.quality[row, i]),
                    "cost": float(estimates.cost[row, i]),
                }
                for i, name in enumerate(names)
            },
            "prices_version": int(run.version[row]),
            **({"turn": int(run.turn[row])} if run.decided > len(problem) else {}),
        }
