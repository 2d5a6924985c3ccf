"""A router's parts, made from its configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from router.arrays import Floats
from router.estimation.trust import departing
from router.policies.eagle import Eagle
from streams.config.settings import load
from streams.routing.build import Parts, build


def upper_cost(config_file: Path, quantile: str) -> Floats:
    environment = {"SLUICE_RESERVATION_QUANTILE": quantile}
    scorer = build(load(config_file, environment)).scorer
    _, estimates = scorer.estimate(["Why is the sky blue?", "Write a sorting function."])
    return estimates.upper_cost


def test_the_configured_quantile_sets_what_is_reserved(config_file: Path) -> None:
    """A higher `reservation.quantile` holds more for the same query and model."""
    low, middle, high = (upper_cost(config_file, quantile) for quantile in ("0.7", "0.9", "1"))
    assert np.all(low < middle)
    assert np.all(middle < high)


def test_estimates_are_careful_where_models_share_a_limit(config_file: Path) -> None:
    """Models differ from each other by the trust of the index only."""

    def quality(file: Path) -> Floats:
        scorer = build(load(file)).scorer
        return scorer.estimate(["Why is the sky blue?", "Write a sorting function."])[1].quality

    estimator = build(load(config_file)).scorer.estimator.base
    means, trust = estimator.fitted.means, estimator.fitted.trust
    full = quality(config_file)
    shared = config_file.with_name("shared.toml")
    shared.write_text(config_file.read_text() + "[limits.money]\namount = 1\n")
    assert np.allclose(quality(shared), departing(full, means, trust))


def test_eagle_estimates_by_ratings(config_file: Path) -> None:
    """Its policy and its estimates begin with the ratings of the history, and its settings count;
    costs are what other policies estimate."""

    def parts(**settings: str) -> Parts:
        environment = {f"SLUICE_POLICY_{name}": value for name, value in settings.items()}
        return build(load(config_file, environment))

    texts = ["Why is the sky blue?", "Write a sorting function."]
    eagle, other = parts(NAME="eagle"), parts()
    found, plain = (each.scorer.estimate(texts)[1] for each in (eagle, other))
    assert np.array_equal(found.cost, plain.cost)
    assert not np.array_equal(found.quality, plain.quality)
    assert found.neighbours.shape[1] == 20
    fewer = parts(NAME="eagle", EAGLE_NEIGHBOURS="3")
    assert fewer.scorer.estimate(texts)[1].neighbours.shape[1] == 3

    policy = eagle.new_policy()
    assert isinstance(policy, Eagle)
    assert eagle.scorer.following(policy.snapshot()) is eagle.scorer
    before = dict(policy.ratings)
    first, second, *_ = policy.ratings
    policy.learn(first, {second: 1.0})
    learned = eagle.scorer.following(policy.snapshot())
    changed = learned.estimate(texts)[1].quality - found.quality
    assert (changed[:, 0] > 0).all()
    assert (changed[:, 1] < 0).all()
    assert policy.ratings[first] > before[first]
    assert np.array_equal(eagle.scorer.estimate(texts)[1].quality, found.quality)

    dear = parts(NAME="eagle", EAGLE_QUERY_BUDGET="0.25")
    assert dear.new_policy().snapshot()["budget"] == 250_000_000


def test_outcomes_correct_primal_dual_where_that_is_set(config_file: Path) -> None:
    """What is learned then travels with its state."""
    for setting, found in (("true", True), ("false", False)):
        config = load(config_file, {"SLUICE_POLICY_CORRECTIONS": setting})
        policy = build(config).new_policy()
        assert ("corrections" in policy.snapshot()) is found
        assert policy.resumes is found
