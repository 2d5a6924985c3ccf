"""`sluice replay`: what it can be asked for, and what it finds on a recorded deployment."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from msgspec import structs

from schemas import Receipt
from schemas.wire import decode, encode
from tests.support.command import run
from tests.support.recording import Restored


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give --policy NAME,… to compare policies (batchsplit, "),
        (("--policy",), "primal-dual, "),
        (("--verify", "--policy", "random"), "--verify takes the configured policy"),
        (("--verify", "--budget", "2"), "--verify takes the configured policy"),
        (("--verify", "--models", "gpt-4-1106"), "--verify takes the configured policy"),
        (("--policy", "random", "--from", "soon"), "is no time"),
        (("--policy", "best"), "no policy 'best'; there are: "),
        (("--policy", "random", "--budget", "0"), "multiple of the configured budgets"),
        (("--policy", "random", "--budget", "x"), "could not convert"),
    ],
)
def test_wrong_usage(config: Path, arguments: tuple[str, ...], words: str) -> None:
    """Said before anything is read; exit code 2."""
    code, _, stderr = run("replay", *arguments, "-c", config, broker="127.0.0.1:9")
    assert code == 2
    assert words in " ".join(stderr.split())


def test_verify(deployment: Restored) -> None:
    """Every decision is the same, and the figures are those of the recording."""
    found, values = deployment.figures("replay", "--verify")
    assert found.exit_code == 0, found.output
    assert values == deployment.recording.header.verified


def test_figures_on_standard_output(deployment: Restored) -> None:
    """With --json and no file they are all that is there."""
    found = deployment.sluice("replay", "--verify", "--json")
    assert found.exit_code == 0, found.output
    assert orjson.loads(found.stdout) == deployment.recording.header.verified


def test_verify_finds_a_false_receipt(own_deployment: Restored) -> None:
    """With its decision's id, and exit code 1."""
    receipts = [decode(Receipt, one.value) for one in own_deployment.recording.of("receipts")]
    routed = next(one for one in receipts if one.decision == "routed")
    false = structs.replace(routed, reserved=routed.reserved + 1)
    own_deployment.send(own_deployment.topics.receipts, encode(false), routed.id.encode())
    found, values = own_deployment.figures("replay", "--verify")
    assert found.exit_code == 1
    assert not values["same"]
    assert routed.decision_id in found.output.replace("\n", "")


def test_policies(deployment: Restored, tmp_path: Path) -> None:
    """A row for each policy and budget, and each decision of the first with the log's own."""
    lines = tmp_path / "decisions.jsonl"
    asked = ("replay", "--policy", "primal-dual,random", "--budget", "0.5,1")
    found, values = deployment.figures(*asked, "--decisions", lines)
    assert found.exit_code == 0, found.output
    assert [(one["policy"], one["budget"]) for one in values["policies"]] == [
        ("primal-dual", 0.5),
        ("random", 0.5),
        ("primal-dual", 1.0),
        ("random", 1.0),
    ]
    decisions = [orjson.loads(line) for line in lines.read_bytes().splitlines()]
    assert len(decisions) == values["queries"]
    assert all(0 < one["propensity"] <= 1 for one in decisions)
    assert {one["logged"] for one in decisions} > {None}


def test_the_static_mix_stands_beside_a_policy(deployment: Restored) -> None:
    """What is gained on it at the same limits, and what the best model alone would do."""
    found = deployment.sluice("replay", "--policy", "primal-dual,static-mix", "--budget", "1,2")
    assert found.exit_code == 0, found.output
    words = " ".join(found.output.split())
    for budget in ("1", "2"):
        assert f"% on static-mix at the same limits (budget {budget})." in words
    assert "The best single model, " in words


def test_no_query_of_that_time(deployment: Restored) -> None:
    """Is an error of one line."""
    found = deployment.sluice("replay", "--policy", "random", "--from", "2100-01-01")
    assert found.exit_code == 1
    assert "no query of that time has been decided" in found.output
