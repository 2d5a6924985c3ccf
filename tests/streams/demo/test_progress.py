"""A system's progress, read from a recorded deployment's topics."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from schemas import Receipt
from schemas.fields import Source
from schemas.wire import decode
from streams.demo.progress import CALM, DemoProgress
from tests.support.patience import PATIENCE
from tests.support.recording import Restored


@pytest.fixture(scope="module")
def progress(deployment: Restored) -> Iterator[DemoProgress]:
    """All topics, read to their ends."""
    recording = deployment.recording
    sequences = {one["partition"]: one["sequence"] for one in recording.header.audit["partitions"]}
    ids = {decode(Receipt, one.value).id for one in recording.of("receipts")}
    found = DemoProgress(
        deployment.config.broker,
        deployment.topics,
        deployment.config.topics.partitions,
        list(deployment.config.models),
    )

    def read() -> bool:
        found.poll(0.1)
        states = found.ledgers.states
        return (
            {number: state.sequence for number, state in states.items()} == sequences
            and ids - {""} <= found.last.keys()
            and len(found.reported) == len(sequences)
        )

    deadline = time.monotonic() + PATIENCE
    while not read():
        assert time.monotonic() < deadline, found.counts()
    yield found
    found.close()


def test_money(deployment: Restored, progress: DemoProgress) -> None:
    """Spent and reserved are those of the ledger, by model."""
    accounts = deployment.recording.header.audit["accounts"]
    models = {name: one for name, one in accounts.items() if "\t" not in name}
    spent, reserved = progress.spent(), progress.reserved()
    assert {name: spent[name] for name in models} == {n: o["spent"] for n, o in models.items()}
    assert {name: reserved[name] for name in models} == {
        name: one["reserved"] for name, one in models.items()
    }


def test_counts(progress: DemoProgress) -> None:
    """Each query is counted by its last decision."""
    counts = progress.counts()
    assert counts.decided == counts.routed + counts.deferred + counts.rejected
    assert counts.routed > 0
    assert counts.deferred > 0
    assert counts.spent == sum(progress.spent().values())


def test_no_query_went_to_two_models_at_once(progress: DemoProgress) -> None:
    """Every model that a query was routed to is known."""
    for id, receipt in progress.last.items():
        if receipt.model is not None:
            assert receipt.model in progress.models[id]


def test_what_is_awaited(progress: DemoProgress) -> None:
    """The recording ends with answers that are awaited; a query that is not there is, too."""
    assert "have no answer yet" in (progress.awaited(progress.first) or "")
    assert progress.awaited(["nobody"]) == "1 queries are not decided yet"


def test_deferred_queries_end_it_when_they_are_left_alone(deployment: Restored) -> None:
    """Without any, at once; with one, when every partition has reported `CALM` seconds later."""
    found = DemoProgress(deployment.config.broker, deployment.topics, 2, [])
    source = Source("queries", 0, 0)
    receipt = Receipt(
        id="q",
        decision_id="queries/0/0",
        decision="deferred",
        reason="no_budget",
        policy="primal-dual",
        source=source,
        decided_at=100.0,
    )
    found.reported = {0: 100.5, 1: 200.0}
    assert found.awaited([]) is None
    found.last["q"] = receipt
    assert "1 deferred queries" in (found.awaited(["q"]) or "")
    found.reported[0] = 100.0 + CALM + 0.1
    assert found.awaited(["q"]) is None
    found.ledgers.settled_at = 150.0
    assert found.awaited(["q"]) is not None
    found.close()
