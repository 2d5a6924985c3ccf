"""`sluice explain` on a recorded deployment."""

from __future__ import annotations

import orjson

from schemas import Receipt
from schemas.wire import decode
from tests.support.recording import Restored


def receipts(deployment: Restored, decision: str) -> list[Receipt]:
    """Receipts of one kind, in the order of the log."""
    found = [decode(Receipt, one.value) for one in deployment.recording.of("receipts")]
    return [receipt for receipt in found if receipt.decision == decision]


def test_a_routed_query(deployment: Restored) -> None:
    """Shows the query, every model's estimates, the choice, and the charge."""
    receipt = receipts(deployment, "routed")[0]
    found = deployment.sluice("explain", receipt.id)
    assert found.exit_code == 0, found.output
    assert f"routed to {receipt.model}" in found.output
    assert "charged" in found.output
    assert "chosen" in found.output
    for model in receipt.quality:
        assert model in found.output


def test_json(deployment: Restored) -> None:
    """The same as one object, amounts in nano-units, with each model's score where prices are
    still known."""
    receipt = receipts(deployment, "routed")[-1]
    found = deployment.sluice("explain", receipt.id, "--json")
    assert found.exit_code == 0, found.output
    told = orjson.loads(found.stdout)
    assert told["query"]["id"] == receipt.id
    decision = told["decisions"][0]
    assert decision["model"] == receipt.model
    assert decision["decision_id"] == receipt.decision_id
    assert all(result["id"] == receipt.id for result in told["results"])
    if decision["prices"] is not None:
        assert set(decision["scores"]) == set(receipt.quality)


def test_one_that_waits(deployment: Restored) -> None:
    """A deferred query says why."""
    waiting = receipts(deployment, "deferred")
    assert waiting, "the recording has lost its point"
    found = deployment.sluice("explain", waiting[0].id)
    assert found.exit_code == 0, found.output
    assert "deferred" in found.output


def test_nobody_knows_it(deployment: Restored) -> None:
    """An id that the log does not have is an error."""
    found = deployment.sluice("explain", "nobody")
    assert found.exit_code == 1
    assert "nothing of a query 'nobody'" in found.output
