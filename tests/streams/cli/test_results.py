"""`sluice results` on a recorded deployment."""

from __future__ import annotations

import orjson

from schemas import Result
from schemas.wire import Invalid, decode
from tests.support.recording import Restored


def answers(deployment: Restored) -> list[Result]:
    """The valid results of the recording."""
    found = []
    for record in deployment.recording.of("results"):
        try:
            found.append(decode(Result, record.value))
        except Invalid:
            continue
    return found


def test_all(deployment: Restored) -> None:
    """One line for each result."""
    found = deployment.sluice("results")
    assert found.exit_code == 0, found.output
    there = answers(deployment)
    assert {line.split()[0] for line in found.stdout.splitlines()} == {one.id for one in there}


def test_by_id(deployment: Restored) -> None:
    """Those of one query, whole, with their charge; following ends when it is there."""
    one = answers(deployment)[0]
    found = deployment.sluice("results", "--id", one.id, "--json", "--follow")
    assert found.exit_code == 0, found.output
    told = orjson.loads(found.stdout.splitlines()[0])
    assert (told["id"], told["decision_id"]) == (one.id, one.decision_id)
    assert told["charged"] is None or told["charged"] >= 0
    missing = deployment.sluice("results", "--id", "nobody")
    assert missing.exit_code == 1
    assert "no answer to: nobody" in missing.output


def test_following_has_no_end(deployment: Restored) -> None:
    """An end and --follow contradict each other."""
    assert deployment.sluice("results", "--follow", "--to", "now").exit_code == 2
