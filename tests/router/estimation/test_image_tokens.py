"""What must hold of learned tokens of images: they only rise, and belong to what was declared."""

from __future__ import annotations

import pytest

from router.estimation.image_tokens import ImageMaxima
from schemas.price import ImageTokens


def test_the_most_is_kept() -> None:
    """Rounded up by an eighth at most, and told as news once."""
    images = ImageMaxima()
    assert not images.take_news()
    assert images.observe("seer", 100, 1_000)
    assert images.take_news()
    assert not images.take_news()
    assert not images.observe("seer", 100, 1_024)
    assert images.observe("seer", 100, 1_025)
    assert images.snapshot() == {"seer": ImageTokens(declared=100, tokens=1_152)}


def test_another_number_that_is_declared_begins_anew() -> None:
    """It is believed until an answer took more."""
    images = ImageMaxima({"seer": ImageTokens(declared=100, tokens=9_000)})
    assert images.observe("seer", 500, 600)
    assert images.snapshot() == {"seer": ImageTokens(declared=500, tokens=640)}


@pytest.mark.parametrize("tokens", [1, 7, 15, 16, 17, 40_000, 10**9])
def test_no_less_than_was_seen_is_reserved(tokens: int) -> None:
    """And no more than an eighth above it."""
    images = ImageMaxima()
    images.observe("seer", 0, tokens)
    assert tokens <= images.snapshot()["seer"].tokens <= tokens * 9 / 8
