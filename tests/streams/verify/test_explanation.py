"""Which limit bound a decision. (What is read: tests/streams/cli/test_explain.py.)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from schemas import Receipt, Result, Source
from streams.verify.explanation import Explanation


def receipt(**fields: Any) -> Receipt:
    return Receipt(
        id="q",
        decision_id="queries/0/1",
        policy="primal-dual",
        source=Source("queries", 0, 1),
        decided_at=1.0,
        price_version=3,
        quality={"small": 0.5, "large": 0.9, "dear": 0.95},
        cost={"small": 100, "large": 200, "dear": 10_000},
        **fields,
    )


PRICES: dict[int, Mapping[str, float]] = {3: {"small": 0.001, "large": 0.001, "dear": 0.001}}


def test_scores() -> None:
    """Quality less price times cost; nothing where the prices are not known any more."""
    one = receipt(decision="routed", reason="best", model="large")
    assert Explanation("q", prices=PRICES).scores(one) == {
        "small": 0.4,
        "large": 0.7,
        "dear": 0.95 - 10.0,
    }
    assert Explanation("q").scores(one) == {}


def test_scores_by_corrected_estimates() -> None:
    """As outcomes had corrected them when the decision was taken."""
    one = receipt(decision="routed", reason="best", model="small")
    found = Explanation("q", prices=PRICES, corrections={3: {"large": (-0.5, 2.0)}})
    assert found.scores(one)["large"] == pytest.approx(0.4 - 0.4)
    assert found.scores(one)["small"] == pytest.approx(0.4)


def test_limits_that_bound() -> None:
    """Models that scored higher than the chosen one had no room."""
    found = Explanation("q", prices=PRICES)
    best = receipt(decision="routed", reason="best", model="large")
    second = receipt(decision="routed", reason="next_best", model="small")
    none = receipt(decision="deferred", reason="no_budget")
    assert found.short_of_money(best) == []
    assert found.short_of_money(second) == ["large"]
    assert found.short_of_money(none) == ["small", "large"]


def test_what_it_waits_for() -> None:
    """A query waits while its last decision has no result, and no longer."""
    routed = receipt(decision="routed", reason="best", model="large")
    deferred = receipt(decision="deferred", reason="no_budget")
    result = Result(id="q", decision_id=routed.decision_id, model="large", status_code=200)
    assert Explanation("q").waits() is None
    assert "large" in (Explanation("q", receipts=[routed]).waits() or "")
    assert Explanation("q", receipts=[routed], results=[result]).waits() is None
    assert "decided again" in (Explanation("q", receipts=[deferred]).waits() or "")
