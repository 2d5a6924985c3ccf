"""The offline engine: budgets hold, nothing is seen before it is decided, runs repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from router.arrays import Bools, Floats, Ints
from router.evaluation import engine
from router.evaluation.budgets import GIVEN, SHARED
from router.evaluation.experiment import Setting, make
from router.evaluation.limit_file import FileLimit
from router.evaluation.problem import REQUESTS, TOKENS, Change, Problem
from router.models.catalog import ModelCatalog
from router.policies import POLICIES
from router.policies.base import NONE, Batch, Decisions, Policy
from router.policies.floors import Floor
from router.pricing.coverage import Coverage
from tests.support.outcomes import ground

every_policy = pytest.mark.parametrize("name", sorted(POLICIES))


class Watching(Policy):
    """Sends every query to model 0 and writes down what it is told."""

    name = "watching"

    def __init__(self, catalog: ModelCatalog) -> None:
        super().__init__(catalog)
        self.told: list[tuple[str, int]] = []
        self.free: list[list[int]] = []
        self.expected: list[float] = []

    def route(self, batch: Batch, free: Ints) -> Decisions:
        n = len(batch.ids)
        self.told.append(("route", n))
        self.free.append(free.tolist())
        return Decisions(np.zeros(n, dtype=np.int64), ["best"] * n, np.ones(n))

    def warm_start(self, quality: Floats, cost: Floats, *others: Floats) -> None:
        self.told.append(("warm_start", len(quality)))

    def observe(
        self,
        quality: Floats,
        cost: Floats,
        *others: Floats,
        queries: Bools | None = None,
        floors: Sequence[Floor] | None = None,
    ) -> None:
        self.told.append(("observe", len(quality)))

    def plan(self, remaining: Ints, expected: float | Floats, waiting: float = 0.0) -> bool:
        self.told.append(("plan", int(np.max(expected))))
        self.expected.append(float(np.min(expected)))
        return False

    def set_catalog(self, catalog: ModelCatalog, limits: Coverage | None = None) -> None:
        self.told.append(("registry", len(catalog)))
        super().set_catalog(catalog, limits)


def problem(**changes: object) -> Problem:
    put = ground().problem(Setting())
    return replace(put, **changes) if changes else put  # type: ignore[arg-type]


def test_driver_follows_the_contract() -> None:
    """warm_start, plan; then route, observe, plan for each batch, with what is left."""
    put = problem()
    policy = Watching(put.catalog)
    engine.run(policy, put, batch=30)
    assert len(put) == 48
    assert policy.told == [
        ("warm_start", 72),
        ("plan", 48),
        ("route", 30),
        ("observe", 30),
        ("plan", 18),
        ("route", 18),
        ("observe", 18),
        ("plan", 0),
    ]
    assert policy.free[0] == put.limits.tolist()


def test_true_costs_are_charged_in_order_until_they_no_longer_fit() -> None:
    """A query whose true cost no longer fits is lost; a cheaper one after it may still fit."""
    costs = np.zeros((4, 3), dtype=np.int64)
    costs[:, 0] = [60, 50, 40, 1]
    put = ground().problem(Setting()).reordered(np.arange(4))
    put = replace(put, costs=costs, limits=np.array([100, 5, 5]), scores=np.ones((4, 3)))
    run = engine.run(Watching(put.catalog), put)
    assert run.served.tolist() == [True, False, True, False]
    assert run.cost == 100
    assert run.performance == 2.0
    assert (run.count, run.lost, run.deferred) == (2, 2, 0)


@every_policy
def test_budgets_hold(name: str) -> None:
    """After every batch, no model has spent more than its limit."""
    put = problem()
    run = engine.run(make(name, put.catalog, seed=0), put, batch=16)
    assert (run.spent <= put.limits).all()
    assert run.cost == sum(put.costs[row, run.model[row]] for row in np.flatnonzero(run.served))
    assert run.count + run.lost + run.deferred == len(put)


@every_policy
def test_one_budget_for_all_models_holds(name: str) -> None:
    """What all models spend together, and so many requests to one of them, is no more."""
    put = ground().problem(Setting(split=SHARED))
    total = Coverage(
        ("money", "calls"), np.array([0, REQUESTS]), np.array([[True] * 3, [True, False, False]])
    )
    put = replace(put, given=total, limits=np.array([*put.limits.tolist(), 5]))
    run = engine.run(make(name, put.catalog, seed=0), put, batch=16)
    assert (run.spent <= put.limits).all()
    assert run.spent[-1].tolist() == [run.cost, int((run.model[run.served] == 0).sum())]


@every_policy
def test_a_limit_of_tokens_holds(name: str) -> None:
    """What answers really took counts, to the token; before they come, their estimated cost says
    how many they will probably take."""
    put = ground().problem(Setting(split=SHARED))
    tokens = np.random.default_rng(0).integers(1, 100, put.costs.shape)
    per_cost = tokens.sum(axis=0) / put.costs.sum(axis=0)
    both = Coverage(("money", "length"), np.array([0, TOKENS]), np.ones((2, 3), dtype=np.bool_))
    amounts = np.array([*put.limits.tolist(), 600])
    put = replace(put, given=both, limits=amounts, tokens=tokens, tokens_per_cost=per_cost)
    run = engine.run(make(name, put.catalog, seed=0), put, batch=4)
    assert (run.spent <= put.limits).all()
    served = np.flatnonzero(run.served)
    assert run.spent[-1].tolist() == [run.cost, int(tokens[served, run.model[served]].sum())]
    assert run.count


def windowed(requests: int, length: float) -> Problem:
    """48 arrivals under one budget, and so many requests in a window of `length` arrivals."""
    put = ground().problem(Setting(split=SHARED))
    both = Coverage(("money", "calls"), np.array([0, REQUESTS]), np.ones((2, 3), dtype=np.bool_))
    return replace(
        put,
        given=both,
        limits=np.array([*put.limits.tolist(), requests]),
        lengths=np.array([np.inf, length]),
    )


def test_a_window_that_begins_holds_all_of_its_amount() -> None:
    """Nothing is left over to it; batches end where windows do, and policies hear what is left."""
    put = windowed(5, 20.0)
    put = replace(put, costs=np.zeros_like(put.costs))
    policy = Watching(put.catalog)
    run = engine.run(policy, put, batch=15)
    assert np.flatnonzero(run.served).tolist() == [
        0,
        1,
        2,
        3,
        4,
        20,
        21,
        22,
        23,
        24,
        *range(40, 45),
    ]
    assert [told[1] for told in policy.told if told[0] == "route"] == [15, 5, 15, 5, 8]
    assert [left for _, left in policy.free] == [5, 0, 5, 0, 5]
    assert policy.expected == [20.0, 5.0, 20.0, 5.0, 8.0, 0.0]
    assert put.totals.tolist() == [put.limits[0], 15]


def test_queries_that_wait_get_a_new_window_first() -> None:
    """With `retry`, in their order; the decisions' turns tell when."""
    put = windowed(5, 20.0)
    put = replace(put, costs=np.zeros_like(put.costs), limits=put.limits * np.array([1_000, 1]))
    policy = make("greedy-perf", put.catalog, seed=0)
    run = engine.run(policy, put, batch=15, retry=True)
    assert np.flatnonzero(run.served).tolist() == list(range(15))
    assert run.lost == 0
    assert run.turn[:5].tolist() == [0, 1, 2, 3, 4]
    assert (run.turn[5:10] > 15).all()
    assert (run.turn[10:15] > run.turn[5:10]).all()


@every_policy
def test_budgets_hold_where_queries_are_decided_again(name: str) -> None:
    """Decisions in the order of their turns, charged once more, come to the same."""
    put = problem()
    run = engine.run(make(name, put.catalog, seed=0), put, batch=8, retry=True)
    assert (run.spent <= put.limits).all()
    order = np.argsort(run.turn)
    charged = engine.settle(put.reordered(order), run.model[order])
    assert charged.performance == pytest.approx(run.performance)
    assert charged.cost == run.cost
    assert charged.served.tolist() == run.served[order].tolist()


class Sparing(Policy):
    """Sends nothing while more arrivals are expected, and then one query a pass."""

    name = "sparing"

    def __init__(self, catalog: ModelCatalog) -> None:
        super().__init__(catalog)
        self.left = 0.0
        self.waiting: list[float] = []

    def route(self, batch: Batch, free: Ints) -> Decisions:
        n = len(batch.ids)
        model = np.full(n, NONE)
        model[: 1 if self.left == 0 else 0] = 0
        return Decisions(model, ["not_worth"] * n, np.ones(n))

    def plan(self, remaining: Ints, expected: float | Floats, waiting: float = 0.0) -> bool:
        self.left = float(np.max(expected))
        self.waiting.append(waiting)
        return False


def test_what_is_left_is_spent_on_what_waits() -> None:
    """After the last arrival policies plan for what waits, pass by pass."""
    put = problem()
    put = replace(put, costs=np.zeros_like(put.costs))
    policy = Sparing(put.catalog)
    once = engine.run(Sparing(put.catalog), put, batch=30)
    run = engine.run(policy, put, batch=30, retry=True)
    assert policy.waiting[:5] == [0.0, 30.0, 48.0, 47.0, 46.0]
    assert once.count == 0
    assert run.count == engine.LAST_PASSES


@every_policy
def test_limits_with_windows_hold_in_each_window(name: str) -> None:
    """However windows and batches lie."""
    put = windowed(4, 9.6)
    run = engine.run(make(name, put.catalog, seed=0), put, batch=7)
    number = np.floor(np.arange(48) / 9.6 + 1e-9).astype(int)
    assert (np.bincount(number[run.served], minlength=5) <= 4).all()
    assert (run.spent[-1] <= put.totals).all()


def test_limits_of_tokens_need_outcomes_that_tell_them() -> None:
    """The error says what is missing, and for which limit."""
    data = ground()
    data.limits = [FileLimit("length", 600.0, TOKENS, ("*",))]
    with pytest.raises(ValueError, match="the limit 'length' counts tokens, and the outcomes"):
        data.problem(Setting(split=GIVEN))


@every_policy
def test_outcomes_are_not_seen_before_the_decision(name: str) -> None:
    """Other outcomes of the last batch change no decision at all: it is decided without them."""
    put = problem()
    late = np.arange(32, 48)
    scores, costs = put.scores.copy(), put.costs.copy()
    scores[late] = 1.0 - scores[late]
    costs[late] = costs[late, ::-1] * 3
    other = replace(put, scores=scores, costs=costs)
    runs = [engine.run(make(name, put.catalog, seed=0), each, batch=16) for each in (put, other)]
    assert runs[0].model.tolist() == runs[1].model.tolist()
    assert runs[0].reason == runs[1].reason


@every_policy
def test_same_seed_same_run(name: str) -> None:
    """Nothing but the problem and the seed decides."""
    runs = [
        engine.run(make(name, each.catalog, seed=3), each, batch=16)
        for each in (problem(), problem())
    ]
    assert runs[0].model.tolist() == runs[1].model.tolist()
    assert runs[0].performance == runs[1].performance
    assert np.array_equal(runs[0].prices, runs[1].prices, equal_nan=True)


@every_policy
def test_fleet_changes_on_the_way(name: str) -> None:
    """A model that left gets nothing afterwards, one that joined nothing before; budgets hold."""
    changes = (Change(0, (0, 1)), Change(24, (1, 2)))
    put = problem(changes=changes)
    run = engine.run(make(name, put.catalog, seed=0), put, batch=16)
    assert 2 not in run.model[:24]
    assert 0 not in run.model[24:]
    assert (run.spent <= put.limits).all()


def test_unrecorded_outcomes_are_not_routed_to() -> None:
    """Where nobody knows what a model would have answered, no query is sent."""
    put = problem()
    known = put.known.copy()
    known[:, 1] = False
    run = engine.run(make("primal-dual", put.catalog, 0), replace(put, known=known))
    assert (run.model != NONE).any()
    assert 1 not in run.model


def test_batches_end_where_the_fleet_changes() -> None:
    """No batch spans a change."""
    cuts = engine._cuts(10, 4, [5])
    assert [rows.tolist() for rows in cuts] == [[0, 1, 2, 3], [4], [5, 6, 7, 8], [9]]
    assert all(a[-1] + 1 == b[0] for a, b in pairwise(cuts))


@pytest.mark.parametrize("arrivals", [159, 160])
def test_prices_are_solved_in_at_least_sixteen_parts(arrivals: int) -> None:
    """Also where the arrivals are not a multiple of sixteen."""
    put = ground(400).problem(Setting()).reordered(np.arange(arrivals))
    run = engine.run(make("primal-dual", put.catalog, 0), put)
    assert len(set(run.version.tolist())) >= 16
