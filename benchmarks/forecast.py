"""What a wrong forecast of arrivals costs: score over that with the true number of arrivals.

    python -m benchmarks.forecast DATASET... [--budgets 1,2,4]

One shared budget for a day of arrivals (65 % of the data is history). The forecast is the one that
controllers keep (`router/budget/arrivals.py`), told every two minutes how many have come. In the
cases with days before, it has counted three of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import fmean

import numpy as np

from router.arrays import Floats, Ints
from router.budget.arrivals import ArrivalForecast
from router.evaluation import engine, sources
from router.evaluation.budgets import SHARED
from router.evaluation.experiment import Setting
from router.evaluation.loaders import load
from router.evaluation.problem import Problem
from router.models.catalog import ModelCatalog
from router.policies.primal_dual import PrimalDual

DAY, TOLD, BEGIN = 86_400.0, 120.0, 10 * 86_400.0
EVERY = 32
"""Arrivals in a batch, after which prices are solved again."""


def even(random: np.random.Generator, n: int) -> Floats:
    """Return n times of a day, in its parts, that come evenly."""
    return np.sort(random.random(n))


def burst(random: np.random.Generator, n: int) -> Floats:
    """Return times of which half fall in a tenth of the day."""
    return np.sort(np.where(random.random(n) < 0.5, 0.4 + 0.1 * random.random(n), even(random, n)))


def night(random: np.random.Generator, n: int) -> Floats:
    """Return times of which none fall in the middle third of the day."""
    part = random.random(n) * 2 / 3
    return np.sort(np.where(part < 1 / 3, part, part + 1 / 3))


CASES = {
    "first day, half assumed": (even, 0.5, None, 0.0),
    "first day, as assumed": (even, 1.0, None, 0.0),
    "first day, double assumed": (even, 2.0, None, 0.0),
    "days before had twice as many": (even, 1.0, even, 2.0),
    "days before had half as many": (even, 1.0, even, 0.5),
    "burst after even days": (burst, 1.0, even, 1.0),
    "dead night as on days before": (night, 1.0, night, 1.0),
    "dead night, first day": (night, 1.0, None, 0.0),
}
"""Name -> (shape of the day, part of its arrivals assumed, shape and size of the days before)."""


class Paced(PrimalDual):
    """Plans for the arrivals that a forecast expects, at the time at which a batch has come."""

    def __init__(self, catalog: ModelCatalog, times: Floats, forecast: ArrivalForecast) -> None:
        super().__init__(catalog, every=EVERY)
        self._times = times * DAY + BEGIN
        self._forecast_of_day = forecast
        self._told = BEGIN

    def plan(self, remaining: Ints, expected: float | Floats, waiting: float = 0.0) -> bool:
        """Look at the clock instead of the true number."""
        arrived = len(self._times) - int(np.max(expected))
        if arrived == len(self._times):
            return False
        now = float(self._times[arrived]) if arrived else BEGIN
        while self._told <= now:
            came = int(np.searchsorted(self._times, self._told))
            self._forecast_of_day.observe(self._told, 0, came)
            self._told += TOLD
        return super().plan(
            remaining, max(self._forecast_of_day.between(now, BEGIN + DAY, BEGIN), 1.0)
        )


def forecast_after(days: Sequence[Floats], rate: float) -> ArrivalForecast:
    """Return a forecast that has counted some days."""
    forecast = ArrivalForecast(rate)
    for back, times in zip(range(len(days), 0, -1), days, strict=True):
        for moment in np.arange(0.0, DAY, 600.0):
            came = int(np.searchsorted(times, moment / DAY))
            # Each day counts on a partition of its own, so that it begins at 0.
            forecast.observe(BEGIN - back * DAY + moment, back, came)
    return forecast


def scores(problem: Problem, seed: int) -> dict[str, float]:
    """Return each case's score over that with the true number of arrivals."""
    n, random = len(problem), np.random.default_rng(seed)
    known = PrimalDual(problem.catalog, every=EVERY)
    true = engine.run(known, problem, batch=EVERY).performance
    found = {}
    for name, (shape, part, before, size) in CASES.items():
        days = [before(random, round(n * size)) for _ in range(3)] if before else []
        forecast = forecast_after(days, part * n / DAY)
        policy = Paced(problem.catalog, shape(random, n), forecast)
        found[name] = engine.run(policy, problem, batch=EVERY).performance / true
    return found


def main() -> None:
    """Print a row a case: the mean over datasets and budgets, and the least."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--budgets", default="1,2,4")
    asked = parser.parse_args()
    cells = []
    for name in asked.datasets:
        data = load(name)
        vectors = sources.embed(data.prompts, sources.embedder_named("wordllama"))
        split = next(sources.splits(data, vectors, 0.35, [0]))
        for budget in asked.budgets.split(","):
            cells.append(scores(split.problem(Setting(float(budget), SHARED)), 0))
    for case in CASES:
        values = [cell[case] for cell in cells]
        print(f"{case:32} mean {fmean(values):.3f} least {min(values):.3f}")


if __name__ == "__main__":
    main()
