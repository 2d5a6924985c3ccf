"""The section [policy.eagle]."""

from __future__ import annotations

from decimal import Decimal

from router.policies.elo import PUBLISHED
from streams.config.eagle import EagleSettings


def test_the_published_settings() -> None:
    """Without any keys they are the paper's, and no query has a fixed budget."""
    settings = EagleSettings()
    assert settings.elo() == PUBLISHED
    assert settings.budget() is None


def test_a_budget_is_in_nano_units() -> None:
    """It is written in units of currency."""
    assert EagleSettings(query_budget=Decimal("0.002")).budget() == 2_000_000
