"""What the topics add up to."""

from __future__ import annotations

import pytest

from schemas import Prices
from schemas.control import ModelControl, control_key
from schemas.wire import encode
from streams.page import view as module
from streams.page.view import View
from tests.support.decisions import receipt, report, result


def test_flow_and_money(view: View) -> None:
    """By model and reason; what is spent, estimated and judged."""
    for number in range(3):
        view.take_receipt(receipt(number))
        view.take_result(result(number), 1003.0)
    view.take_receipt(receipt(3, None))
    total = view.timeline.recent(0).sums
    assert (total["flow:small"], total["flow:deferred"], total["reason:best"]) == (3, 1, 3)
    assert (total["answered"], total["judged"]) == (3, 3.0)
    assert total["spent:small"] == pytest.approx(3e-7)
    # At each decision small's money buys as much at random as it does here: 0.5 for 100.
    assert total["estimated"] == pytest.approx(total["static"]) == pytest.approx(1.5)


def test_results_and_receipts_in_any_order(view: View) -> None:
    """They are on two topics; each result counts once."""
    view.take_result(result(1), 1002.0)
    view.take_receipt(receipt(1))
    view.take_result(result(1), 1003.0)
    state = view.state(1004.0)
    assert state["waits"]["open"] == 0
    assert state["decisions"][0]["result"]["score"] == 1.0
    assert view.timeline.recent(0).sums["answered"] == 1


def test_limits(view: View) -> None:
    """Spent and reserved of all partitions, in units of currency; tenants' too."""
    view.take_report(report(0), 1000.0)
    view.take_report(report(1), 1000.0)
    state = view.state(1001.0)
    small, large, shop = state["limits"]
    assert (small["limit"], small["spent"], small["reserved"]) == (1.0, 0.5, 0.2)
    assert (large["name"], large["spent"], shop["name"]) == ("large", 0, "small (shop)")
    assert state["owned"] == 2
    (row,) = view.timeline.rows()
    assert row["states"]["left:small"] == pytest.approx(0.3)


def test_what_waits(view: View) -> None:
    """Each deferred query counts until it is decided otherwise."""
    view.take_receipt(receipt(1, None, reason="no_budget", short_of=["small"]))
    view.take_receipt(receipt(2, None))
    waits = view.state(1010.0)["waits"]
    assert waits["reasons"] == {"no_budget": 1, "not_worth": 1}
    assert (waits["short_of"], waits["oldest"], waits["deferred"]) == ({"small": 1}, 9.0, 2)
    view.take_receipt(receipt(1, decision_id="deferred/0/0"))
    assert view.state(1010.0)["waits"]["reasons"] == {"not_worth": 1}


def test_prices_and_commands(view: View) -> None:
    """The newest prices; a paused model is shown as that."""
    state = {"prices": {"small": 2e-9, "large": 0.0}}
    prices = Prices(policy="primal-dual", version=3, state=state, solved_at=1000.0)
    view.take_prices(prices)
    command = ModelControl(name="small", action="pause")
    view.take_command(control_key(command).encode(), encode(command), 0)
    small, large = view.state(1001.0)["models"]
    assert (small["status"], small["price"]) == ("paused", 2.0)
    assert (large["status"], large["price"]) == ("open", 0.0)


def test_memory_is_bounded(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever never gets an answer is forgotten."""
    monkeypatch.setattr(module, "OPEN", 10)
    for number in range(100):
        view.take_receipt(receipt(number))
        view.take_receipt(receipt(1000 + number, None))
        view.take_result(result(2000 + number), 1000.0)
    state = view.state(1100.0)
    assert state["waits"]["open"] == 10
    assert sum(state["waits"]["reasons"].values()) == 10
    assert len(state["decisions"]) == module.LAST
    assert state["models"][0]["in_flight"] == 10
    assert len(view._by_decision) == module.LAST
