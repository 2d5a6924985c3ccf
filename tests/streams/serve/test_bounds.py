"""Rates and kept answers are bounded. (Bodies: test_app.)"""

from __future__ import annotations

import pytest

from streams.client.errors import QueryError
from streams.serve import bounds
from streams.serve.bounds import KeptEndings, Rates
from streams.serve.errors import ApiError
from tests.streams.serve.test_chat import answer


def test_rates() -> None:
    """Each caller has its own bucket, which fills again by the clock."""
    now = 0.0
    rates = Rates(2.0, lambda: now)
    rates.take("a")
    rates.take("a")
    with pytest.raises(ApiError) as caught:
        rates.take("a")
    assert caught.value.status == 429
    rates.take("b")
    now = 0.5
    rates.take("a")
    with pytest.raises(ApiError):
        rates.take("a")


def test_kept_endings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ending of an id is kept for its time, and the newest ones within the memory."""
    now = 0.0
    kept = KeptEndings(10.0, lambda: now)
    first, failure = answer(), QueryError("f", "x", "y")
    kept.keep("a", first)
    kept.keep("a", answer(cost=1))
    kept.keep("f", failure)
    assert (kept.get("a"), kept.get("f"), kept.get("b")) == (first, failure, None)
    now = 11.0
    assert kept.get("a") is None
    kept.keep("c", first)
    assert len(kept) == 1
    monkeypatch.setattr(bounds, "KEPT_BYTES", 2500)
    for number in range(20):
        kept.keep(str(number), failure)
    assert len(kept) == 5
    assert kept.get("19") is failure
