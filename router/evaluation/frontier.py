"""Score against money under one shared budget: what a router is worth, in the words people use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from router.arrays import Floats
from router.evaluation.datasets import Dataset
from router.evaluation.summary import Line

OURS, CONTROL = "primal-dual", "static-mix"
MOST = 1024.0
"""The largest budget of a sweep, in what the cheapest model needs."""
PARTS = (1.0, 0.99, 0.98, 0.95, 0.9, 0.8, 0.5)
"""Parts of the best single model's score: the largest that is reached is the one to speak of."""

Curve = Sequence[tuple[float, float]]
"""(dollars, mean score a query), by rising budget."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """Mean scores at several budgets of the same arrivals.

    Attributes:
        curves: By policy.
        singles: By model, what it costs to send every query to it, and its mean score then.
    """

    curves: Mapping[str, Curve]
    singles: Mapping[str, tuple[float, float]]

    @property
    def best_single(self) -> str:
        """The model of highest mean score, the cheaper one of equals."""
        return max(self.singles, key=lambda name: (self.singles[name][1], -self.singles[name][0]))


def single_models(queries: Dataset) -> dict[str, tuple[float, float]]:
    """Return each model's dollars for all queries and its mean score, over what is known of it."""
    known = np.isfinite(queries.scores) & np.isfinite(queries.costs)
    count = np.maximum(known.sum(axis=0), 1)
    score = np.where(known, queries.scores, 0.0).sum(axis=0) / count
    cost = np.where(known, queries.costs, 0.0).sum(axis=0) / count * len(queries) / 1e9
    return {
        name: (float(cost[i]), float(score[i]))
        for i, name in enumerate(queries.models)
        if known[:, i].any()
    }


def swept_budgets(queries: Dataset) -> list[float]:
    """Return multiples of the cheapest model's cost, doubling until the best model is paid for."""
    singles = single_models(queries)
    cheapest = min(cost for cost, _ in singles.values())
    best = Frontier({}, singles).best_single
    most = min(singles[best][0] / max(cheapest, 1e-12), MOST)
    budgets = [1.0]
    while budgets[-1] < most:
        budgets.append(2 * budgets[-1])
    return budgets


def frontier(lines: Sequence[Line], singles: Mapping[str, tuple[float, float]]) -> Frontier:
    """Gather one policy's line at each budget into its curve.

    Args:
        lines: Under one shared budget, of every policy and budget.
        singles: What each model alone costs and scores, see `single_models`.
    """
    cheapest = min(cost for cost, _ in singles.values())
    curves: dict[str, list[tuple[float, float]]] = {}
    for line in sorted(lines, key=lambda line: line.cell.budget):
        point = (line.cell.budget * cheapest, line.performance / line.arrivals)
        curves.setdefault(line.policy, []).append(point)
    return Frontier(curves, singles)


def cost_to_reach(curve: Curve, score: float) -> float | None:
    """Return the dollars at which a curve first reaches a score, None where it never does.

    Between two budgets the score is taken to rise with the logarithm of the money.
    """
    before: tuple[float, float] | None = None
    for money, found in curve:
        if found >= score:
            if before is None:
                return money
            part = (score - before[1]) / (found - before[1])
            return float(before[0] * (money / before[0]) ** part)
        before = (money, found)
    return None


def area(curve: Curve) -> float:
    """Return the mean score over the logarithm of money, from the least to the largest budget."""
    money, score = (np.array(values) for values in zip(*curve, strict=True))
    if len(money) < 2:
        return float(score[0])
    places: Floats = np.log(money)
    return float(np.trapezoid(score, places) / (places[-1] - places[0]))


def gains(of: Frontier) -> dict[float, float]:
    """Return what our score is of the static mix's, by dollars, where both were run."""
    control = dict(of.curves.get(CONTROL, ()))
    ours = of.curves.get(OURS, ())
    return {money: score / control[money] for money, score in ours if control.get(money)}


def headline(of: Frontier) -> list[str]:
    """Say in sentences what the curves show; nothing where our policy was not run."""
    if OURS not in of.curves:
        return []
    best = of.best_single
    cost, score = of.singles[best]
    sentences = [_matching(of, best, cost, score)]
    if CONTROL in of.curves:
        gain = gains(of)
        sentences.append(
            f"At equal money it scores {_percent(fmean(gain.values()) - 1)} on the best static mix "
            f"(mean of {len(gain)} budgets; least {_percent(min(gain.values()) - 1)})."
        )
        sentences.append(
            "Area under the curve of score against the logarithm of money: "
            f"{area(of.curves[OURS]):.4f}, static mix {area(of.curves[CONTROL]):.4f}."
        )
    return sentences


def _matching(of: Frontier, best: str, cost: float, score: float) -> str:
    """Return the sentence about the best single model's score, or the part of it that we reach."""
    ours, control = of.curves[OURS], of.curves.get(CONTROL)
    for part in PARTS:
        needed = cost_to_reach(ours, part * score)
        if needed is None:
            continue
        goal = "the score" if part == 1.0 else f"{part:.0%} of the score"
        sentence = f"{OURS} reaches {goal} of the best single model, {best}, at "
        sentence += f"{needed / cost:.0%} of its cost"
        if control is None:
            return sentence + "."
        mixed = cost_to_reach(control, part * score)
        if mixed is None:
            return sentence + "; the best static mix of models does not reach it."
        return sentence + f"; the best static mix of models needs {mixed / cost:.0%}."
    return (
        f"{OURS} reaches less than {PARTS[-1]:.0%} of the score of the best single model, {best}."
    )


def _percent(part: float) -> str:
    return f"{100 * part:+.1f} %"
