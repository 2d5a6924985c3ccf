"""Rates and kept answers are bounded. (Bodies: test_app.)"""

from __future__ import annotations

import msgspec
import pytest

from streams.client.errors import QueryError
from streams.serve import bounds
from streams.serve.bounds import KeptAnswers, Rates
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


def test_kept_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer to an id is kept for its time, and the newest ones within the memory; what
    failed may be tried again."""
    now = 0.0
    kept = KeptAnswers(10.0, lambda: now)
    first = answer()
    kept.keep("a", first)
    kept.keep("a", answer(cost=1))
    kept.keep("f", QueryError("f", "x", "y"))
    assert (kept.get("a"), kept.get("f"), kept.get("b")) == (first, None, None)
    now = 11.0
    assert kept.get("a") is None
    kept.keep("c", first)
    assert len(kept) == 1
    monkeypatch.setattr(bounds, "KEPT_BYTES", 5 * len(msgspec.json.encode(first.result)))
    for number in range(20):
        kept.keep(str(number), first)
    assert len(kept) == 5
    assert kept.get("19") is first
