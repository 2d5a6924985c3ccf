"""Quality floor: floors are kept at least cost, and limits come before the floor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from router.arrays import Floats
from router.models.catalog import Model, ModelCatalog
from router.policies.base import NONE, Batch
from router.policies.floors import Floor
from router.policies.quality_floor import MOST, QualityFloor, least_worths

CATALOG = ModelCatalog(Model(name, 0, 1_000_000) for name in "abc")
PLENTY = np.full(3, 10**12)


def tables(n: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Scores and costs of models that are dearer the better they are."""
    random = np.random.default_rng(seed)
    quality = np.clip(random.normal([0.4, 0.6, 0.8], 0.15, (n, 3)), 0, 1)
    return quality, random.uniform(0.5, 1.5, (n, 3)) * [100.0, 1000.0, 10_000.0]


def batch_of(quality: Floats, cost: Floats) -> Batch:
    return Batch(
        ids=[str(i) for i in range(len(quality))],
        quality=quality,
        cost=cost,
        bound=np.ceil(cost).astype(np.int64),
        allowed=np.ones(quality.shape, np.bool_),
    )


def reached(policy: QualityFloor, quality: Floats, cost: Floats) -> tuple[float, float]:
    """The mean quality and cost of a stream in batches of 50."""
    chosen = []
    for start in range(0, len(quality), 50):
        part = slice(start, start + 50)
        chosen.append(policy.route(batch_of(quality[part], cost[part]), PLENTY).model)
        policy.observe(quality[part], cost[part])
        policy.plan(PLENTY, 100.0)
    model, rows = np.concatenate(chosen), np.arange(len(quality))
    return float(quality[rows, model].mean()), float(cost[rows, model].mean())


@pytest.mark.parametrize("floor", [0.5, 0.6, 0.7, 0.8])
def test_floor_is_kept(floor: float) -> None:
    """What is got is what was asked, from a history and from none."""
    for history in (500, 0):
        policy = QualityFloor(CATALOG, floor, every=50)
        policy.warm_start(*tables(history, 1))
        policy.plan(PLENTY, 100.0)
        assert reached(policy, *tables(4000))[0] == pytest.approx(floor, abs=0.02)


def test_a_shift_of_traffic_is_followed() -> None:
    """When all models become worse, the floor is held by dearer ones."""
    policy = QualityFloor(CATALOG, 0.6, every=50)
    policy.warm_start(*tables(500, 1))
    policy.plan(PLENTY, 100.0)
    before, quality_cost = policy.worth, tables(6000)
    got, _ = reached(policy, quality_cost[0] - 0.1, quality_cost[1])
    assert got == pytest.approx(0.6, abs=0.02)
    assert policy.worth > before


def test_cheaper_than_the_best_model_and_than_a_mix() -> None:
    """At the same quality the choices cost less than any fixed shares of the models."""
    quality, cost = tables(4000)
    policy = QualityFloor(CATALOG, 0.7, every=50)
    policy.warm_start(*tables(500, 1))
    policy.plan(PLENTY, 100.0)
    _, paid = reached(policy, quality, cost)
    assert paid < cost.mean(axis=0)[2]
    half = 0.5 * cost.mean(axis=0)[1] + 0.5 * cost.mean(axis=0)[2]  # scores 0.7 on average
    assert paid < half


def test_least_worths_are_where_floors_are_reached() -> None:
    """A little less would not reach them; a floor below the cheapest models needs no worth."""
    quality, cost = tables(500)
    rows = np.arange(500)

    def mean(worth: float) -> float:
        return float(quality[rows, (worth * quality - cost).argmax(axis=1)].mean())

    worths = least_worths(quality, cost)
    assert len(worths) == 101
    for floor in (50, 65, 80):
        assert mean(worths[floor]) >= floor / 100 > mean(worths[floor] * 0.94)
    assert worths[20] == 0.0
    assert (np.diff(worths) >= 0).all()


def test_each_floor_has_its_own_queue() -> None:
    """Queries of three floors in one stream each reach theirs, whoever else asks; a floor that
    nobody has had begins where the history reaches it."""
    policy = QualityFloor(CATALOG, 0.5, every=50)
    policy.warm_start(*tables(500, 1))
    policy.plan(PLENTY, 100.0)
    quality, cost = tables(9000)
    floors = [Floor(0.5), Floor(0.7), Floor(0.8, "shop")] * 3000
    chosen = []
    for start in range(0, len(quality), 60):
        part = slice(start, start + 60)
        batch = replace(batch_of(quality[part], cost[part]), floors=floors[part])
        chosen.append(policy.route(batch, PLENTY).model)
        policy.observe(quality[part], cost[part], floors=floors[part])
        policy.plan(PLENTY, 100.0)
    got = quality[np.arange(len(quality)), np.concatenate(chosen)].reshape(-1, 3).mean(axis=0)
    assert got == pytest.approx([0.5, 0.7, 0.8], abs=0.02)
    assert set(policy.worths) == {"0.5", "0.7", "0.8/shop"}

    new = replace(batch_of(quality[:500], cost[:500]), floors=[Floor(0.75, "bank")] * 500)
    model = policy.route(new, PLENTY).model
    assert quality[np.arange(500), model].mean() == pytest.approx(0.75, abs=0.03)


def test_queues_are_bounded() -> None:
    """Those that were used last are kept."""
    policy = QualityFloor(CATALOG, 0.5, every=1)
    policy.warm_start(*tables(50, 1))
    quality, cost = tables(MOST + 5)
    policy.observe(quality, cost, floors=[Floor(0.5, f"t{i}") for i in range(MOST + 5)])
    policy.plan(PLENTY, 1.0)
    assert len(policy.worths) == MOST
    assert "0.5/t4" not in policy.worths
    assert f"0.5/t{MOST + 4}" in policy.worths


def test_a_floor_out_of_reach_takes_the_best() -> None:
    """With a floor that no choice reaches, nearly all queries go to their best model."""
    quality, cost = tables(1000)
    policy = QualityFloor(CATALOG, 1.0)
    policy.warm_start(quality, cost)
    policy.plan(PLENTY, 100.0)
    chosen = policy.route(batch_of(quality, cost), PLENTY).model
    assert (chosen == quality.argmax(axis=1)).mean() > 0.95


def test_limits_come_before_the_floor() -> None:
    """Where the preferred model has no room the next best answers; without any, the query waits."""
    quality, cost = tables(10)
    policy = QualityFloor(CATALOG, 1.0)
    policy.warm_start(quality, cost)
    policy.plan(PLENTY, 100.0)
    batch = batch_of(quality, cost)
    only_cheap = policy.route(batch, np.array([10**9, 0, 0]))
    assert only_cheap.model.tolist() == [0] * 10
    assert "next_best" in only_cheap.reason
    nothing = policy.route(batch, np.zeros(3, np.int64))
    assert set(nothing.reason) == {"no_budget"}
    closed = policy.route(replace(batch, allowed=np.zeros((10, 3), np.bool_)), PLENTY)
    assert (closed.model == NONE).all()
    assert set(closed.reason) == {"not_allowed"}


def test_a_snapshot_keeps_what_was_learned() -> None:
    """A controller that takes over goes on from there; another usual floor begins at its own."""
    old = QualityFloor(CATALOG, 0.5, every=50)
    old.warm_start(*tables(500, 1))
    quality, cost = tables(500)
    old.observe(quality - 0.1, cost)
    old.plan(PLENTY, 100.0)
    same, other = QualityFloor(CATALOG, 0.5, every=50), QualityFloor(CATALOG, 0.7, every=50)
    for policy in (same, other):
        policy.restore(old.snapshot())
    assert same.worth == old.worth
    assert other.worth > old.worth
    assert other.snapshot()["floor"] == 0.7
    for policy in (old, same):
        policy.observe(quality, cost)
        policy.plan(PLENTY, 100.0)
    assert same.worths == old.worths


@pytest.mark.parametrize(
    "wrong",
    [{"worths": {"0.5": -1.0}}, {"worths": None}, {"step": float("inf")}, {"first": [1.0]}],
    ids=["negative", "missing", "infinite", "too few"],
)
def test_impossible_snapshots_are_refused(wrong: dict[str, object]) -> None:
    """A negative, missing or infinite worth or step is an error."""
    policy = QualityFloor(CATALOG)
    with pytest.raises(ValueError, match="snapshot"):
        policy.restore(policy.snapshot() | wrong)
