"""What must hold of the partitions in use: all topics have them, and what they lack is said."""

from __future__ import annotations

import pytest

from streams.kafka.topics import Topics
from streams.runtime.partition_count import PartitionCount

TOPICS = Topics()
PLANNED = TOPICS.planned([], 3)
SHARED = [topic.name for topic in PLANNED if topic.shared]


def counts(value: int, **others: int) -> dict[str, int]:
    return dict.fromkeys(SHARED, value) | others


@pytest.fixture
def in_use() -> PartitionCount:
    return PartitionCount(PLANNED, TOPICS.queries, 3)


def test_partitions_count_when_all_topics_have_them(in_use: PartitionCount) -> None:
    """In whatever order they grow; a broker that lags behind takes nothing away."""
    assert not in_use.follow(counts(3))
    assert not in_use.follow(counts(6, queries=3))
    assert in_use.unread == 0
    assert in_use.follow(counts(6))
    assert not in_use.follow(counts(3))
    assert not in_use.follow({"queries": 9})
    assert (in_use.value, in_use.unread) == (6, 0)


def test_a_topic_that_grew_alone_is_told_of_once(
    in_use: PartitionCount, caplog: pytest.LogCaptureFixture
) -> None:
    """Found twice, for it may be a moment of growing; with what to do."""
    grown_alone = counts(3, queries=5)
    assert not in_use.follow(grown_alone)
    assert in_use.unread == 2
    assert caplog.text == ""
    for _ in range(3):
        assert not in_use.follow(grown_alone)
    assert caplog.text.count("finish with `sluice topics grow --partitions 5`") == 1
    assert "results" in caplog.text
    assert in_use.follow(counts(5))
    assert in_use.unread == 0
    assert "have grown from 3 to 5 partitions" in caplog.text
    for _ in range(2):
        in_use.follow(counts(5, results=7))
    assert "'results' has 7 partitions, while only 5 are in use" in caplog.text
