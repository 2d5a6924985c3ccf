"""The section [judge]."""

from __future__ import annotations

from decimal import Decimal

import pytest

from schemas.invalid import Invalid
from streams.config.judge import JudgeSettings


def test_either_a_model_or_a_server() -> None:
    """One of them, and a server with the name that it knows."""
    with pytest.raises(Invalid, match="model"):
        JudgeSettings()
    with pytest.raises(Invalid, match="model"):
        JudgeSettings(model="large", base_url="http://x/v1")
    with pytest.raises(Invalid, match="name"):
        JudgeSettings(base_url="http://x/v1")
    assert JudgeSettings(model="large").base_url is None


def test_prices() -> None:
    """A server's prices are of the judge's model, in nano-units per million tokens."""
    settings = JudgeSettings(base_url="http://x/v1", name="j", output_price=Decimal("2.5"))
    assert settings.priced().output_price == 2_500_000_000
