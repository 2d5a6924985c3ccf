"""Waits for what a broker is still making: a coordinator, a leader, the metadata of a new topic.

The first call of its kind on a fresh broker makes the topic it needs (50 partitions of
`__consumer_offsets` at the first group), and is refused until that is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from streams.kafka.errors import BrokerError

NOT_YET = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._WAIT_COORD,
        KafkaError._DESTROY_BROKER,
        KafkaError._RESOLVE,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_CONTROLLER,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
    }
)
"""Codes of errors that end by themselves when the broker has made what the call needs."""
PAUSE = 0.1
"""Seconds between two attempts."""

Answer = TypeVar("Answer")


def is_not_yet(error: BaseException) -> bool:
    """Whether an error says that the broker is not ready for the call."""
    if isinstance(error, TimeoutError):
        return True
    cause = error.args[0] if isinstance(error, KafkaException) and error.args else None
    return isinstance(cause, KafkaError) and cause.code() in NOT_YET


def until_answered(what: str, call: Callable[[], Answer], timeout: float) -> Answer:
    """Repeat a call until the broker is ready for it.

    Args:
        what: the call, for the error message, such as "describing group x".
        call: asks the broker; should wait for seconds only.
        timeout: seconds after which to give up.

    Raises:
        BrokerError: the broker was not ready in time; names the call and the last reason.
        KafkaException: for errors that do not end by themselves.
    """
    began = time.monotonic()
    while True:
        try:
            return call()
        except (KafkaException, TimeoutError) as error:
            if not is_not_yet(error):
                raise
            if time.monotonic() - began >= timeout:
                raise BrokerError(
                    f"{what}: no answer in {timeout:.0f} s, the last reason: {_reason(error)}"
                ) from error
        time.sleep(PAUSE)


def _reason(error: BaseException) -> str:
    cause = error.args[0] if error.args else error
    return cause.str() if isinstance(cause, KafkaError) else str(cause) or type(error).__name__
