"""Waiting for what a broker is still making, and giving up by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.kafka.errors import BrokerError
from streams.kafka.waiting import NOT_YET, is_not_yet, until_answered


def failing(*codes: int) -> Callable[[], str]:
    """A call that fails once with each of these codes, and then answers."""
    left = list(codes)

    def call() -> str:
        if left:
            raise KafkaException(KafkaError(left.pop(0)))
        return "answer"

    return call


@pytest.mark.parametrize("code", sorted(NOT_YET))
def test_a_call_is_repeated_until_the_broker_is_ready(code: int) -> None:
    """Each error of this kind ends by itself."""
    assert until_answered("asking", failing(code, code), 60.0) == "answer"


def test_other_errors_are_not_waited_for() -> None:
    """They are raised as they came."""
    refused = failing(KafkaError.GROUP_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException) as raised:
        until_answered("asking", refused, 60.0)
    assert raised.value.args[0].code() == KafkaError.GROUP_AUTHORIZATION_FAILED


def test_an_error_names_the_call_that_waited() -> None:
    """And the last reason."""
    never = failing(*[KafkaError.COORDINATOR_NOT_AVAILABLE] * 2)
    with pytest.raises(BrokerError, match=r"describing group x: no answer in 0 s.*oordinator"):
        until_answered("describing group x", never, 0.0)


def test_a_future_that_times_out_counts() -> None:
    """`Future.result(timeout)` raises TimeoutError; what is no error of Kafka's does not count."""
    assert is_not_yet(TimeoutError())
    assert not is_not_yet(KafkaException("text"))
    assert not is_not_yet(ValueError())
