"""A decision in words."""

from __future__ import annotations

from streams.page.explained import explained
from tests.support.decisions import receipt, result


def test_a_routed_query() -> None:
    """Why there, what each model was worth, what it cost."""
    found = explained(receipt(1), result(1, score=0.75), {"small": 1e-3, "large": 3e-3}, 250)
    assert found["why"] == "It went to small: the highest score had room in its budget."
    assert [(m["model"], round(m["score"], 6), m["short"]) for m in found["models"]] == [
        ("small", 0.4, False),
        ("large", -0.4, False),
    ]
    assert (found["result"]["cost"], found["result"]["score"]) == (2.5e-7, 0.75)


def test_a_query_that_waits() -> None:
    """It names the accounts that had no room."""
    short = ["small", "small\tshop"]
    found = explained(receipt(1, None, reason="no_budget", short_of=short), None, None, None)
    assert found["why"].startswith("It waits: models worth their price had no room")
    assert found["why"].endswith("No room in: small, small (shop).")
    assert found["result"] is None
    assert found["models"][0]["score"] is None
