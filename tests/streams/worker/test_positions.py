"""What a group's committed offsets say of the topic that they are of.

`test_consumer.py` has it on a real broker.
"""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, TopicPartition

from streams.worker.positions import Positions


@pytest.mark.parametrize(
    ("own", "told", "begins"),
    [
        ("a", "a", OFFSET_INVALID),
        ("a", "", OFFSET_INVALID),
        ("a", "b", OFFSET_BEGINNING),
        ("", "b", OFFSET_INVALID),
    ],
)
def test_only_another_id_is_another_life(own: str, told: str, begins: int) -> None:
    """OFFSET_INVALID leaves it to the client, which begins at the committed offset."""
    consumer = Mock()
    consumer.committed.return_value = [TopicPartition("t", 0, 7, metadata=told)]
    positions = Positions("t")
    positions.topic_id = own
    positions.assign(consumer, [TopicPartition("t", 0, OFFSET_INVALID)])
    [[place]] = consumer.incremental_assign.call_args.args
    assert place.offset == begins


def test_an_offset_names_its_topic() -> None:
    """One for each partition."""
    positions = Positions("t")
    positions.topic_id = "a"
    [place] = positions.to_commit({3: 7})
    assert (place.topic, place.partition, place.offset, place.metadata) == ("t", 3, 7, "a")
