"""What every policy promises (router/policies/base.py), checked for each of them."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.arrays import Ints
from router.models.catalog import Model, ModelCatalog
from router.policies import POLICIES
from router.policies.base import NONE, REASONS, Batch, Decisions, Policy
from router.policies.floors import Floor

SENT = {"best", "next_best", "warmup", "explore"}
CUT_MATTERS = {"batchsplit"}  # it optimises over the batch, so the batch matters by design

every_policy = pytest.mark.parametrize("name", sorted(POLICIES))
problems = st.tuples(st.integers(0, 2**32), st.integers(0, 12), st.integers(1, 5))


def catalog(*names: str) -> ModelCatalog:
    return ModelCatalog(Model(name, 0, 1_000_000) for name in names)


def batch_of(seed: int, n: int, models: int, allowed: float = 0.8) -> Batch:
    """n random queries; some may go nowhere."""
    random = np.random.default_rng(seed)
    cost = random.uniform(1, 100, (n, models))
    return Batch(
        ids=[f"{seed}-{i}" for i in range(n)],
        quality=random.uniform(0, 1, (n, models)),
        cost=cost,
        bound=np.ceil(cost * 1.5).astype(np.int64),
        allowed=random.uniform(0, 1, (n, models)) < allowed,
    )


def free_of(seed: int, models: int) -> Ints:
    return np.random.default_rng(seed).integers(0, 400, models)


def seasoned(name: str, models: int, seed: int = 0) -> Policy:
    """A policy that has seen a history, a first batch, and its budgets."""
    policy = POLICIES[name](catalog(*(f"m{i}" for i in range(models))))
    history = batch_of(seed + 1, 30, models)
    policy.warm_start(history.quality, history.cost)
    policy.plan(np.full(models, 2_000), 60.0)
    first = batch_of(seed + 2, 20, models)
    policy.route(first, np.full(models, 2_000))
    policy.observe(first.quality, first.cost)
    policy.plan(np.full(models, 1_500), 40.0)
    return policy


def check(decisions: Decisions, batch: Batch, free: Ints) -> None:
    """The promises that hold for any single answer."""
    n = len(batch.ids)
    assert decisions.model.shape == (n,)
    assert len(decisions.reason) == n
    assert decisions.propensity.shape == (n,)
    assert ((decisions.propensity > 0) & (decisions.propensity <= 1)).all()
    reserved = np.zeros_like(free)
    for row, model in enumerate(decisions.model):
        assert decisions.reason[row] in REASONS
        assert (model != NONE) == (decisions.reason[row] in SENT)
        if model != NONE:
            assert batch.allowed[row, model]
            reserved[model] += batch.bound[row, model]
        elif not batch.allowed[row].any():
            assert decisions.reason[row] in {"not_allowed", "not_worth", "dropped"}
    assert (reserved <= free).all()


def same(one: Decisions, other: Decisions) -> None:
    assert one.model.tolist() == other.model.tolist()
    assert list(one.reason) == list(other.reason)
    assert one.propensity.tolist() == other.propensity.tolist()
    assert one.version == other.version


@every_policy
@given(problem=problems)
@settings(max_examples=25)
def test_reservations_fit_and_go_where_allowed(name: str, problem: tuple[int, int, int]) -> None:
    """For any batch and budgets: no overdraft, no forbidden model, known reasons, propensities."""
    seed, n, models = problem
    batch, free = batch_of(seed, n, models), free_of(seed, models)
    for policy in (POLICIES[name](catalog(*map(str, range(models)))), seasoned(name, models)):
        check(policy.route(batch, free), batch, free)


@every_policy
def test_floors_break_no_promise(name: str) -> None:
    """Queries may ask for floors of any policy; a batch keeps to its limits all the same, and a
    part of it is decided as the whole is."""
    floors = [Floor(value / 11, "shop" if value % 2 else "") for value in range(12)]
    batch = replace(batch_of(23, 12, 3), floors=floors)
    free, policy = np.full(3, 10**9), seasoned(name, 3)
    decisions = policy.route(batch, free)
    check(decisions, batch, free)
    policy.observe(batch.quality, batch.cost, floors=floors)
    policy.learn("m0", {"m1": 1.0})
    policy.plan(free, 10.0)
    if name not in CUT_MATTERS:
        twin = seasoned(name, 3)
        parts = [twin.route(batch.take(slice(i, i + 6)), free).model for i in (0, 6)]
        assert np.concatenate(parts).tolist() == decisions.model.tolist()


@every_policy
@pytest.mark.parametrize("n", [0, 1])
def test_smallest_batches(name: str, n: int) -> None:
    """No query and one query are batches like any other, also for what follows a batch."""
    policy = POLICIES[name](catalog("a", "b"))
    batch, free = batch_of(7, n, 2, allowed=1.0), np.array([500, 500])
    check(policy.route(batch, free), batch, free)
    policy.observe(batch.quality, batch.cost)
    policy.plan(free, 0.0)
    check(policy.route(batch, free), batch, free)


@every_policy
def test_without_money_nobody_is_sent(name: str) -> None:
    """Budgets of nothing send no query that costs something."""
    batch = batch_of(3, 12, 3, allowed=1.0)
    decisions = seasoned(name, 3).route(batch, np.zeros(3, dtype=np.int64))
    assert decisions.model.tolist() == [NONE] * 12


@every_policy
def test_plenty_of_money_sends_queries(name: str) -> None:
    """With room for everything somebody is sent: the other tests are not about idle policies."""
    batch = batch_of(3, 12, 3, allowed=1.0)
    free = np.full(3, 10**9)
    policy = POLICIES[name](catalog("a", "b", "c"))
    policy.warm_start(batch.quality, batch.cost)
    policy.plan(free, 12.0)
    assert (policy.route(batch, free).model != NONE).any()


@every_policy
def test_inputs_are_left_alone(name: str) -> None:
    """Neither batch nor budgets nor observed estimates are modified."""
    batch, free = batch_of(5, 10, 3), free_of(5, 3)
    before, free_before = copy.deepcopy(batch), free.copy()
    policy = seasoned(name, 3)
    policy.route(batch, free)
    policy.observe(batch.quality, batch.cost)
    policy.plan(free, 10.0)
    assert free.tolist() == free_before.tolist()
    assert list(batch.ids) == list(before.ids)
    for field in ("quality", "cost", "bound", "allowed"):
        assert np.array_equal(getattr(batch, field), getattr(before, field))


@every_policy
def test_same_state_same_decisions(name: str) -> None:
    """Asking twice, or asking a twin with the same past, gives the same answer."""
    batch, free = batch_of(11, 12, 4), np.full(4, 300)
    policy = seasoned(name, 4)
    first = policy.route(batch, free)
    same(policy.route(batch, free), first)
    same(seasoned(name, 4).route(batch, free), first)


@pytest.mark.parametrize("name", sorted(set(POLICIES) - CUT_MATTERS))
@pytest.mark.parametrize("cut", [1, 5, 11])
def test_decisions_do_not_depend_on_the_cut(name: str, cut: int) -> None:
    """Two batches get what one would, the first one's reservations taken from the second's free."""
    batch, free = batch_of(13, 12, 3), np.array([200, 150, 300])
    whole = seasoned(name, 3).route(batch, free)
    policy = seasoned(name, 3)
    parts, left = [], free.copy()
    for rows in (slice(0, cut), slice(cut, 12)):
        part = Batch(
            batch.ids[rows],
            batch.quality[rows],
            batch.cost[rows],
            batch.bound[rows],
            batch.allowed[rows],
        )
        decisions = policy.route(part, left)
        policy.observe(part.quality, part.cost)
        for row, model in enumerate(decisions.model):
            if model != NONE:
                left[model] -= part.bound[row, model]
        parts += decisions.model.tolist()
    assert parts == whole.model.tolist()


@every_policy
def test_snapshot_travels_as_json(name: str) -> None:
    """A fresh policy that restores a snapshot, sent as JSON, decides as the one it came from."""
    policy = seasoned(name, 3)
    snapshot = json.loads(json.dumps(policy.snapshot(), allow_nan=False))
    twin = POLICIES[name](catalog("m0", "m1", "m2"))
    twin.restore(snapshot)
    batch, free = batch_of(17, 12, 3), np.full(3, 400)
    same(twin.route(batch, free), policy.route(batch, free))
    assert twin.snapshot() == policy.snapshot()


@every_policy
def test_strange_snapshots_are_refused(name: str) -> None:
    """A policy with state does not take over what is no snapshot of its own."""
    policy = seasoned(name, 2)
    if policy.snapshot():
        with pytest.raises(ValueError, match="snapshot"):
            policy.restore({"nonsense": 1})


@every_policy
def test_fleet_may_change(name: str) -> None:
    """After a model left and another came, queries go to the new fleet's models, within budget."""
    policy = seasoned(name, 3)
    policy.set_catalog(catalog("m2", "new"))
    free = np.array([600, 600])
    for _ in range(2):
        batch = batch_of(19, 12, 2, allowed=1.0)
        check(policy.route(batch, free), batch, free)
        policy.observe(batch.quality, batch.cost)
        policy.plan(free, 24.0)
    json.dumps(policy.snapshot(), allow_nan=False)


@every_policy
def test_names_and_estimators_are_known(name: str) -> None:
    """The registry's key is the policy's own name, and it asks for estimates that exist."""
    assert POLICIES[name].name == name
    assert POLICIES[name].estimator in {"paper", "exact", "means", "predictor", "elo", "best"}
