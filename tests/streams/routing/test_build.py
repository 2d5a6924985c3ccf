"""A router's parts, made from its configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from router.arrays import Floats
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
