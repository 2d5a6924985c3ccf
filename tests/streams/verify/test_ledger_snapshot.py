"""The topics that record a ledger, as they stand at one moment."""

from __future__ import annotations

from typing import Any

import pytest

from streams.control.registry import Registry
from streams.kafka.logs import LogError, Logs, Span
from streams.verify.ledger_snapshot import LedgerSnapshot
from streams.verify.receipt_store import ReceiptStore
from tests.support.recorded import TOPICS
from tests.support.recording import Restored


class Ends:
    """Logs of one partition that begin at given offsets and end at 10."""

    def __init__(self, **starts: int) -> None:
        self._starts = starts
        self.asked: list[str] = []

    def spans(self, topic: str) -> list[Span]:
        self.asked.append(topic)
        return [Span(topic, 0, self._starts.get(topic, 0), 10)]


def opened(**starts: int) -> LedgerSnapshot:
    ends: Any = Ends(**starts)
    return LedgerSnapshot.open(ends, TOPICS)


def test_the_changelog_is_looked_up_first() -> None:
    """Else a state could tell of results that are beyond the others' ends."""
    ends: Any = Ends()
    snapshot = LedgerSnapshot.open(ends, TOPICS)
    assert ends.asked[0] == TOPICS.changelog
    assert set(ends.asked) == {TOPICS.changelog, TOPICS.results, TOPICS.receipts}
    assert snapshot.size == 20


@pytest.mark.parametrize("topic", ["results", "receipts"])
def test_a_deleted_beginning_is_refused(topic: str) -> None:
    """With the topic, and what it means."""
    with pytest.raises(LogError, match=rf"{topic}, partition 0, begins at offset 4.*rebuilt"):
        opened(**{topic: 4})


def test_a_compacted_changelog_is_enough() -> None:
    """Its beginning is always removed sooner or later."""
    assert opened(**{TOPICS.changelog: 4}).changelog[0].start == 4


def test_check(deployment: Restored) -> None:
    """Every partition is audited, up to the offset asked for; progress sums to the size."""
    logs, topics, config = Logs(deployment.config.broker), deployment.topics, deployment.config
    control = deployment.recording.of("control")
    newcomers = Registry.of(control, models=config.models).newcomers()
    catalog = config.catalog().extended(newcomers)
    snapshot = LedgerSnapshot.open(logs, topics)
    with ReceiptStore(topics) as receipt_store:
        receipt_store.fill(deployment.recording.of("receipts"))
        read: list[int] = []
        whole = list(snapshot.check(logs, catalog, receipt_store, progress=read.append))
        assert whole[0].state is not None
        until = whole[0].state.queries.decided - 5
        early = list(snapshot.check(logs, catalog, receipt_store, until={0: until}))
    assert [one.partition for one in whole] == [0, 1]
    assert not any(one.differences for one in (*whole, *early))
    assert sum(read) == snapshot.size
    assert early[0].states < whole[0].states
    assert early[1].states == whole[1].states
    assert early[0].state is not None
    assert early[0].state.queries.decided <= until
