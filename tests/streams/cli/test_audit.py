"""`sluice audit` on a recorded deployment."""

from __future__ import annotations

import orjson
import pytest
from msgspec import structs

from router.budget.reference_ledger import ReferenceLedger
from schemas import Receipt, Result, Usage
from schemas.wire import decode, encode
from streams.cli.audit import show
from streams.verify.audit import PartitionAudit
from tests.support.recorded import FLEET, receipt
from tests.support.recording import Restored


def test_equal(deployment: Restored) -> None:
    """It says so, and every figure goes to --json; overcharges are named but no difference."""
    found, values = deployment.figures("audit")
    assert found.exit_code == 0, found.output
    assert "the ledger equals the log" in found.output
    assert values == deployment.recording.header.audit
    assert "charged" in found.output
    assert "more than was reserved" in found.output.replace("\n", " ")


def test_figures_on_standard_output(deployment: Restored) -> None:
    """With --json and no file they are all that is there."""
    found = deployment.sluice("audit", "--json")
    assert found.exit_code == 0, found.output
    assert orjson.loads(found.stdout) == deployment.recording.header.audit


def test_as_it_stood(deployment: Restored) -> None:
    """--at leaves out later states of that partition only."""
    _, whole = deployment.figures("audit")
    decided = whole["partitions"][0]["decided"]
    found, values = deployment.figures("audit", "--at", f"0:{decided - 5}")
    assert found.exit_code == 0, found.output
    assert values["partitions"][0]["states"] < whole["partitions"][0]["states"]
    assert values["partitions"][1] == whole["partitions"][1]


def test_a_false_receipt(own_deployment: Restored) -> None:
    """Is a difference, with its decision's id, and exit code 1."""
    receipts = [decode(Receipt, one.value) for one in own_deployment.recording.of("receipts")]
    routed = next(one for one in receipts if one.decision == "routed")
    false = structs.replace(routed, reserved=routed.reserved + 1)
    own_deployment.send(own_deployment.topics.receipts, encode(false), routed.id.encode())
    found, values = own_deployment.figures("audit")
    assert found.exit_code == 1
    assert not values["equal"]
    assert [one["at"] for one in values["differences"]] == [routed.decision_id]
    assert "1 differences" in found.output


def test_a_model_that_has_left_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    """Its prices are gone with it: its results are counted at their reservations, and it is said
    what to do."""
    reference = ReferenceLedger(FLEET)
    reference.decide(structs.replace(receipt(0), model="gone"))
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    result = Result(id="q0", decision_id="queries/0/0", model="gone", status_code=200, usage=usage)
    charge = reference.settle(0, result)
    assert charge is not None
    assert charge.cost == receipt(0).reserved
    show([PartitionAudit(0, reference)], [])
    shown = " ".join(capsys.readouterr().out.split())
    assert "1 results of gone, which is in no configuration any more" in shown
    assert "put it back" in shown


@pytest.mark.parametrize("value", ["0", "0:", ":5", "a:5", "0:-5"])
def test_what_is_no_offset(deployment: Restored, value: str) -> None:
    """Is wrong usage, shown by an example."""
    found = deployment.sluice("audit", "--at", value)
    assert found.exit_code == 2
    assert "0:1500" in found.output
