"""A router's parts, made from its configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from router.arrays import Floats
from router.estimation.trust import departing
from streams.config.settings import load
from streams.routing.build import build


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

    estimator = build(load(config_file)).scorer.estimator
    means, trust = estimator.fitted.means, estimator.fitted.trust
    full = quality(config_file)
    shared = config_file.with_name("shared.toml")
    shared.write_text(config_file.read_text() + "[limits.money]\namount = 1\n")
    assert np.allclose(quality(shared), departing(full, means, trust))
