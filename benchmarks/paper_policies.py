"""The section of docs/results.md with all policies on all datasets."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import orjson

from benchmarks.markdown import markdown_table
from benchmarks.paper_found import (
    OURS,
    Found,
    Groups,
    datasets_in,
    group,
    policies_in,
    rp_text,
)
from router.evaluation.frontier import CONTROL, area, frontier
from router.evaluation.summary import summarise

BUDGETS = (1.0, 2.0, 4.0, 8.0)
"""Shared budgets of the table, in what the cheapest model needs."""
INTRODUCTION = f"""## All policies

Every policy of `sluice evaluate` on every dataset, beside its controls: chance, greed, the best
static mix of models at the same money, the paper's algorithm as its authors coded it, and two
programs that see all arrivals at once, on the paper's estimates and on the true outcomes (the
optimum, which nobody can reach beforehand). *Separate*: a budget a model, as in the paper, with
RP as above and the score over that of `{CONTROL}`. *Shared*: one budget for all models, of so many
times what the cheapest needs for all queries, score over that of `{CONTROL}` at the same money
(mean of 20 draws). *Area*: under the mean score against the logarithm of money, from 1 x to what
the best single model costs.
`eagle` spends on each query what is left over the arrivals to come; `quality-floor` seeks a mean
score of 0.8 at the least cost and not the most score for the money, so its own figures are below.
Adapters ([`polar`](explanation/adapters.md)) and [token pools](explanation/pools.md) need other
data and have their own pages, as has [traffic that changes](results/drift.md)."""
FLOORS = """### Quality floors

`quality-floor` with money for everything; a floor lies at a part of the way from the cheapest to
the best model's mean score over the history. Kept: windows of 250 arrivals with at least the floor
less 0.02. Cost is over that of the cheapest static mix that gets the same score, of the cheapest
single model that gets the floor (– where none does), and of the best single model; these controls
know the outcomes of the arrivals."""


def all_policies(found: Sequence[Found]) -> str:
    """Return the section.

    Args:
        found: Of the experiments "main", "shared" and "floors", among others; those that are not
            there leave gaps.
    """
    main = group(one for one in found if one.experiment == "main")
    shared = [one for one in found if one.experiment == "shared"]
    budgets = group(shared)
    rows = []
    for dataset in datasets_in(main):
        areas = _areas([one for one in shared if one.dataset == dataset])
        for policy in policies_in(main):
            if (dataset, 1.0, policy) not in main:
                continue
            rows.append(
                [
                    dataset,
                    f"**{policy}**" if policy == OURS else policy,
                    rp_text(main[dataset, 1.0, policy]),
                    _over_mix(main, dataset, 1.0, policy),
                    *(_over_mix(budgets, dataset, budget, policy) for budget in BUDGETS),
                    f"{areas[policy]:.4f}" if policy in areas else "–",
                ]
            )
    head = ["dataset", "policy", "separate: RP", "over the mix"]
    head += [*(f"shared {budget:g} x" for budget in BUDGETS), "area"]
    return "\n\n".join(
        [INTRODUCTION, markdown_table(head, rows), *_floors(found)],
    )


def _over_mix(groups: Groups, dataset: str, point: float, policy: str) -> str:
    """Return the policy's score over the static mix's, mean of the splits' ratios."""
    rows, control = (groups.get((dataset, point, name), []) for name in (policy, CONTROL))
    ratios = [
        row.performance / other.performance
        for row, other in zip(rows, control, strict=True)
        if other.performance
    ]
    return f"{fmean(ratios):.3f}" if ratios else "–"


def _areas(found: Sequence[Found]) -> dict[str, float]:
    """Return the area under each policy's curve of score against money on one dataset."""
    if not found:
        return {}
    curves = frontier(summarise(one.row for one in found), orjson.loads(found[0].note)).curves
    return {policy: area(curve) for policy, curve in curves.items()}


def _floors(found: Sequence[Found]) -> list[str]:
    groups: dict[tuple[str, float | str], list[list[float]]] = {}
    for one in found:
        if one.experiment == "floors":
            figures = [np.nan if cell is None else cell for cell in orjson.loads(one.note)]
            groups.setdefault((one.dataset, one.point), []).append(figures)
    if not groups:
        return []
    rows = []
    for (dataset, part), cells in groups.items():
        known = np.isfinite(cells)
        total = np.where(known, cells, 0.0).sum(axis=0)
        means = np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)
        rows.append(
            [dataset, str(part), *("–" if np.isnan(cell) else f"{cell:.3f}" for cell in means)]
        )
    head = ["dataset", "floor at", "asked", "got", "kept", "over the mix", "over single"]
    return [FLOORS, markdown_table([*head, "over the best"], rows)]
