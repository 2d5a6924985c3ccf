"""The same decisions again, on a recorded log."""

from __future__ import annotations

import pytest

from streams.kafka.logs import Logs
from streams.routing.build import Parts, build
from streams.routing.reindex import Indexes
from streams.verify.ledger_snapshot import ProgressCallback
from streams.verify.replay import Source, verify
from tests.support.recording import Restored


class Tasks:
    """Progress by task: the total that was announced, and the amounts done."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.done: dict[str, int] = {}

    def begin(self, what: str, total: int) -> ProgressCallback:
        self.totals[what], self.done[what] = total, 0

        def advance(count: int) -> None:
            self.done[what] += count

        return advance


def source(deployment: Restored, since: float | None = None) -> Source:
    return Source(Logs(deployment.config.broker), deployment.topics, since)


@pytest.fixture(scope="module")
def parts(deployment: Restored) -> Parts:
    """Of the recorded configuration and index."""
    return build(deployment.config)


def test_verify(deployment: Restored, parts: Parts) -> None:
    """Every decision is re-executed, the ledgers are equal, and progress is told."""
    tasks = Tasks()
    found = verify(Indexes.kept(deployment.config, parts), source(deployment), tasks.begin)
    recorded = deployment.recording.header.verified["partitions"]
    assert [one.decisions for one in found.replayed] == [one["decisions"] for one in recorded]
    assert not any(one.differences for one in found.replayed)
    assert not any(one.differences for one in found.audited)
    assert not found.refused
    for what, total in tasks.totals.items():
        assert 0 < tasks.done[what] <= total
    assert tasks.done["comparing ledgers"] == tasks.totals["comparing ledgers"]


def test_verify_a_part_of_the_time(deployment: Restored, parts: Parts) -> None:
    """Decisions from before are believed; those after are the same."""
    moments = sorted(one.timestamp for one in deployment.recording.of("queries"))
    since = moments[len(moments) // 2] / 1000
    tasks = Tasks()
    indexes = Indexes.kept(deployment.config, parts)
    found = verify(indexes, source(deployment, since), tasks.begin)
    assert sum(one.adopted for one in found.replayed) > 0
    assert sum(one.decisions for one in found.replayed) > 0
    assert not any(one.differences for one in found.replayed)
    assert not any(one.differences for one in found.audited)
