"""Corrections by outcomes: of what is certain, and of nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from router.arrays import Ints
from router.models.catalog import Model, ModelCatalog
from router.policies.base import Batch
from router.policies.corrections import FEW, Corrections
from router.policies.explore import Explore
from router.policies.primal_dual import PrimalDual

CATALOG = ModelCatalog([Model("a", 1, 1), Model("b", 1, 1)])
QUALITY, COST = np.array([[0.8, 0.5]]), np.array([[10.0, 10.0]])


def seen(corrections: Corrections, score: float, cost: float, count: int = 50) -> bool:
    """Show outcomes of the model "a". Returns whether any has moved a correction by much."""
    one = np.array([score]), np.array([cost])
    moved = [corrections.learn(["a"], *one) for _ in range(count)]
    return any(moved)


def batch(count: int) -> Batch:
    shape = (count, 1)
    return Batch(
        [str(number) for number in range(count)],
        np.tile(QUALITY, shape),
        np.tile(COST, shape),
        np.tile(COST, shape).astype(np.int64),
        np.ones((count, 2), dtype=np.bool_),
    )


def test_what_has_changed_is_corrected() -> None:
    """A model's score and cost by their mean differences, within the range of scores."""
    corrections = Corrections(CATALOG)
    assert seen(corrections, -0.3, 2.0)
    quality, cost = corrections.tables(QUALITY, COST)
    assert quality.tolist() == pytest.approx(np.array([[0.5, 0.5]]))
    assert cost.tolist() == pytest.approx(np.array([[20.0, 10.0]]))
    assert corrections.tables(np.array([[0.1, 0.5]]), COST)[0].tolist() == [[0.0, 0.5]]
    impossible = np.array([[-np.inf, 0.5]])
    assert corrections.tables(impossible, COST)[0].tolist() == impossible.tolist()


def test_chance_corrects_nothing() -> None:
    """Neither few outcomes nor many that differ both ways."""
    few = Corrections(CATALOG)
    assert not seen(few, -0.3, 2.0, FEW - 1)
    corrections, random = Corrections(CATALOG), np.random.default_rng(0)
    for _ in range(500):
        corrections.learn(["a"], random.normal(0, 0.4, 1), np.exp(random.normal(0, 0.1, 1)))
        assert (corrections.shift.tolist(), corrections.factor.tolist()) == ([0, 0], [1, 1])


def test_a_correction_fades_and_the_model_is_tried_again() -> None:
    """Where no outcome renews it."""
    corrections = Corrections(CATALOG)
    seen(corrections, -0.3, 2.0)
    corrections.fade(100)
    assert corrections.shift[0] == pytest.approx(-0.3)
    corrections.fade(5_000)
    assert corrections.shift.tolist() == [0.0, 0.0]


def test_what_was_learned_goes_on_from_a_snapshot() -> None:
    """By name, in another order too; models that are not known are passed over."""
    corrections = Corrections(CATALOG)
    seen(corrections, -0.3, 2.0)
    corrections.learn(["gone"], np.array([1.0]), np.array([1.0]))
    other = Corrections(ModelCatalog([*reversed(CATALOG.models), Model("c", 1, 1)]))
    other.restore(corrections.snapshot())
    assert other.shift.tolist() == [0.0, corrections.shift[0], 0.0]
    assert other.snapshot() == corrections.snapshot()
    other.set_catalog(CATALOG)
    assert other.shift.tolist() == corrections.shift.tolist()


@pytest.mark.parametrize("column", [[1.0] * 4, [1.0, 2.0, 3.0, 4.0, float("nan")]], ids=str)
def test_what_is_no_snapshot(column: list[float]) -> None:
    """It is refused, and changes nothing."""
    corrections = Corrections(CATALOG)
    seen(corrections, -0.3, 2.0)
    before = corrections.snapshot()
    with pytest.raises(ValueError, match="five finite numbers"):
        corrections.restore({"a": column})
    assert corrections.snapshot() == before


def taken(policy: PrimalDual | Explore) -> Ints:
    """The models of ten queries, with money for all."""
    return policy.route(batch(10), np.array([1000, 1000])).model


def test_primal_dual_decides_by_what_outcomes_say() -> None:
    """If it is told to; its snapshot has what routers need, and batches stay as they were."""
    told, deaf = PrimalDual(CATALOG, corrected=True), PrimalDual(CATALOG)
    for policy in (told, deaf):
        policy.see_outcomes(["a"] * 50, np.full(50, -0.5), np.ones(50))
    assert set(taken(told).tolist()) == {1}
    assert set(taken(deaf).tolist()) == {0}
    assert "corrections" not in deaf.snapshot()
    router = PrimalDual(CATALOG, corrected=True)
    router.restore(told.snapshot())
    assert taken(Explore(router, 0.0)).tolist() == taken(told).tolist()
    assert router.snapshot() == told.snapshot()
    router.restore(deaf.snapshot())
    assert set(taken(router).tolist()) == {0}
    assert (told.resumes, deaf.resumes) == (True, False)


def test_prices_are_solved_for_corrected_estimates() -> None:
    """At once, when a correction has moved by much."""
    policy = PrimalDual(CATALOG, every=1000, corrected=True)
    policy.warm_start(np.tile(QUALITY, (100, 1)), np.tile(COST, (100, 1)))
    money = np.array([100, 100])
    assert policy.plan(money, 100.0)
    before = policy.gamma.tolist()
    assert not policy.plan(money, 100.0)
    policy.see_outcomes(["a"] * 50, np.full(50, -0.5), np.ones(50))
    assert policy.plan(money, 100.0)
    assert policy.gamma[0] < before[0]
