"""What the log says of a broker that is away."""

from __future__ import annotations

import logging

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.kafka.presence import REMIND, ConnectionLines, Presence

AWAY = KafkaException(KafkaError(KafkaError._TRANSPORT, "refused"))


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def ask(presence: Presence, error: Exception | None = None) -> None:
    """Ask a broker that answers, or fails."""
    try:
        with presence.asking():
            if error is not None:
                raise error
    except type(error or AWAY):
        pass


def test_one_line_when_it_goes_some_meanwhile_and_one_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However often it is asked; a broker that is there is not spoken of."""
    clock = Clock()
    presence = Presence(clock)
    ask(presence)
    for clock.now in (float(each) for each in range(70)):
        ask(presence, AWAY if clock.now % 2 else TimeoutError())
    ask(presence)
    ask(presence)
    assert [record.getMessage() for record in caplog.records] == [
        "no broker answers (no answer in time)",
        "no broker has answered for 30 s (no answer in time)",
        "no broker has answered for 60 s (no answer in time)",
        "a broker answers again, after 69 s",
    ]


def test_another_error_is_an_answer_of_sorts(caplog: pytest.LogCaptureFixture) -> None:
    """A broker has refused, or it is a defect: nobody is away."""
    presence = Presence(Clock())
    ask(presence, KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))
    ask(presence, ValueError())
    assert not caplog.records


def test_a_question_from_before_the_return_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Several threads ask, and answers overtake each other."""
    clock = Clock()
    presence = Presence(clock)
    try:
        with presence.asking():
            clock.now = 5.0
            ask(presence)
            raise AWAY
    except KafkaException:
        pass
    assert not caplog.records


def line(name: str, message: str, level: int = logging.ERROR) -> logging.LogRecord:
    """A line of a library's."""
    return logging.LogRecord(name, level, "f.py", 7, message, (), None)


def test_lines_of_libraries_about_connections_are_few() -> None:
    """One in so many seconds, of all libraries and levels together, with the number of those that
    were left out. Others pass, and so does one that stands before two filters."""
    clock = Clock()
    bound = ConnectionLines(clock)
    first = line("librdkafka", "FAIL: Connect to ipv4#127.0.0.1:9092 failed: Connection refused")
    assert [bound.filter(first), bound.filter(first)] == [True, True]
    for name, message, level in (
        ("aiokafka", "Unable connect to node with id 1: [Errno 111]", logging.ERROR),
        ("aiokafka.consumer.fetcher", "Failed fetch messages from 1", logging.ERROR),
        ("librdkafka", "Disconnected: connection closed by peer", logging.INFO),
    ):
        assert not bound.filter(line(name, message, level))
    assert bound.filter(line("aiokafka", "Topic x is not authorized"))
    assert bound.filter(line("streams.worker", "Connect to the model's server failed"))
    clock.now = REMIND
    late = line("aiokafka", "Unable to update metadata from [1]")
    assert bound.filter(late)
    assert late.__dict__["suppressed"] == 3
