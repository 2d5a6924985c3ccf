"""Reading topics as finished logs, on both brokers."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.cimpl import NewPartitions

from streams.brokers import Broker
from streams.brokers.kafka import KafkaServer
from streams.config.settings import Broker as Configured
from streams.kafka import clients
from streams.kafka.logs import LogError, Logs, Span, bounds
from tests.support.patience import PATIENCE

MINUTE = 60_000


@pytest.fixture
def logs(broker: Broker) -> Logs:
    return Logs(Configured(servers=broker.servers))


@pytest.fixture
def topic(broker: Broker, prefix: str) -> str:
    """A topic of 3 partitions; partition 0 has 10 records, a minute apart; 1 has 5; 2 none."""
    name = f"{prefix}log"
    broker.create({name: 3})
    send(broker, name, {0: range(10), 1: range(5)})
    return name


def send(broker: Broker, topic: str, numbers: dict[int, range]) -> None:
    producer = Producer({"bootstrap.servers": broker.servers, "log_level": 0})
    for partition, some in numbers.items():
        for number in some:
            stamp = 1_700_000_000_000 + number * MINUTE
            value = str(number).encode()
            producer.produce(topic, value, b"k", partition, timestamp=stamp, headers=[("h", b"v")])
    assert producer.flush(10) == 0


def test_everything_once_and_in_order(logs: Logs, topic: str) -> None:
    """All records up to the end, those of a partition in order, with all that they carry."""
    spans = logs.spans(topic)
    assert spans == [Span(topic, 0, 0, 10), Span(topic, 1, 0, 5), Span(topic, 2, 0, 0)]
    steps: list[int] = []
    records = list(logs.read(spans, steps.append))
    for partition, count in ((0, 10), (1, 5)):
        own = [record for record in records if record.partition == partition]
        assert [record.offset for record in own] == list(range(count))
        assert [record.value for record in own] == [str(i).encode() for i in range(count)]
    assert len(records) == sum(steps) == 15
    assert records[0].key == b"k"
    assert list(records[0].headers) == [("h", b"v")]


def test_what_comes_later_is_not_read(broker: Broker, logs: Logs, topic: str) -> None:
    """Spans end where the log ended when they were taken."""
    spans = logs.spans(topic)
    send(broker, topic, {0: range(10, 20), 2: range(3)})
    assert sum(1 for _ in logs.read(spans)) == 15
    assert sum(1 for _ in logs.read(logs.spans(topic))) == 28


def test_a_part_of_a_partition(logs: Logs, topic: str) -> None:
    """Any range of offsets can be read by itself."""
    found = [record.offset for record in logs.read([Span(topic, 0, 3, 7)])]
    assert found == [3, 4, 5, 6]


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (0, None, [(0, 10), (0, 5)]),
        (3, None, [(3, 10), (3, 5)]),
        (2.5, 7, [(3, 7), (3, 5)]),
        (None, 2, [(0, 2), (0, 2)]),
        (100, None, [(10, 10), (5, 5)]),
    ],
)
def test_times(
    logs: Logs,
    topic: str,
    since: float | None,
    until: float | None,
    expected: list[tuple[int, int]],
) -> None:
    """A span begins at the first record not older than `since`, and ends before `until`."""
    first, last = (
        None if minutes is None else 1_700_000_000 + minutes * 60 for minutes in (since, until)
    )
    spans = logs.spans(topic, first, last)
    assert [(span.start, span.end) for span in spans[:2]] == expected
    assert spans[2].size == 0


def test_nothing_to_read(logs: Logs, topic: str) -> None:
    """Empty spans end at once."""
    assert list(logs.read([Span(topic, 2, 0, 0), Span(topic, 0, 10, 10)])) == []


@pytest.mark.kafka
def test_a_missing_topic_is_named(kafka_broker: Broker, prefix: str) -> None:
    """The error says which topic, and what to do."""
    logs = Logs(Configured(servers=kafka_broker.servers))
    with pytest.raises(LogError, match=rf"{prefix}nothing.*sluice topics create"):
        logs.spans(f"{prefix}nothing")


@pytest.mark.kafka
def test_a_deleted_beginning_is_told(kafka_broker: Broker, prefix: str) -> None:
    """Offsets that retention has taken are an error, never passed over in silence."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    name = f"{prefix}log"
    kafka_broker.create({name: 1})
    send(kafka_broker, name, {0: range(10)})
    logs = Logs(Configured(servers=kafka_broker.servers))
    (span,) = logs.spans(name)
    admin = AdminClient({"bootstrap.servers": kafka_broker.servers})
    for deleted in admin.delete_records([TopicPartition(name, 0, 4)]).values():
        deleted.result(10)
    with pytest.raises(LogError, match="deleted"):
        list(logs.read([span]))
    (later,) = logs.spans(name)
    assert [record.offset for record in logs.read([later])] == list(range(4, 10))


@pytest.mark.kafka
def test_a_partition_that_was_added(kafka_broker: KafkaServer, prefix: str) -> None:
    """A consumer that has asked for the topic before learns of it with the first question."""
    topic = f"{prefix}grown"
    kafka_broker.create({topic: 1})
    connection = {"bootstrap.servers": kafka_broker.servers}
    consumer = clients.consumer(connection, "test")
    try:
        assert bounds(consumer, TopicPartition(topic, 0), PATIENCE) == (0, 0)
        admin = clients.admin(connection)
        (grown,) = admin.create_partitions([NewPartitions(topic, 2)]).values()
        grown.result(PATIENCE)
        assert bounds(consumer, TopicPartition(topic, 1), PATIENCE) == (0, 0)
    finally:
        consumer.close()
