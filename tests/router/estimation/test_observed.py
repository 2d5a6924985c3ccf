"""What travels with prices beside the policy's state."""

from __future__ import annotations

from router.estimation.observed import Observed
from router.estimation.token_ratio import ENOUGH
from schemas import Prices
from schemas.price import ImageTokens, TokenRatio


def test_a_record_of_prices_tells_what_was_observed() -> None:
    """Ratios of which enough is known, tokens of images, and busy pools; equal where these are."""
    ratio = TokenRatio(mean=4.0, conservative=3.99, count=ENOUGH)
    images = {"small": ImageTokens(declared=1, tokens=2)}
    prices = Prices(
        policy="port",
        version=1,
        state={},
        solved_at=1.0,
        token_ratios={"small\tprose": ratio, "small\tcode": TokenRatio(mean=1, conservative=1)},
        image_tokens=images,
        busy_pools=["small.short"],
    )
    found = Observed.of(prices)
    assert found == Observed({"small\tprose": 3.9}, images, frozenset({"small.short"}))


def test_older_prices_tell_nothing() -> None:
    """Then decisions go by what models declare, and no pool is busy."""
    assert Observed.of(Prices(policy="port", version=1, state={}, solved_at=1.0)) == Observed()
