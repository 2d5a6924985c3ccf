"""An embedded broker that can be made to fail, with the faults of librdkafka's mock cluster."""

from __future__ import annotations

import ctypes
from enum import IntEnum

from streams.brokers.embedded import EmbeddedBroker, librdkafka

EVERY_BROKER = -1


class Request(IntEnum):
    """Requests of the Kafka protocol that `FaultyBroker.fail` can answer with an error."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    INIT_PRODUCER_ID = 22


class FaultyBroker(EmbeddedBroker):
    """An embedded broker, and what can go wrong with it."""

    def down(self) -> None:
        """Cut all connections and refuse new ones, until `up`."""
        set_down = librdkafka().rd_kafka_mock_broker_set_down
        set_down.argtypes = [ctypes.c_void_p, ctypes.c_int32]
        set_down(self._running(), EVERY_BROKER)

    def up(self) -> None:
        """Accept connections again; messages and offsets are still there."""
        set_up = librdkafka().rd_kafka_mock_broker_set_up
        set_up.argtypes = [ctypes.c_void_p, ctypes.c_int32]
        set_up(self._running(), EVERY_BROKER)

    def fail(self, request: Request, error: int, times: int = 1) -> None:
        """Answer the next `times` requests of a kind with an error.

        error: a code of `confluent_kafka.KafkaError`; `KafkaError._TRANSPORT` disconnects the
        client instead of answering.
        """
        push = librdkafka().rd_kafka_mock_push_request_errors_array
        push.argtypes = [ctypes.c_void_p, ctypes.c_int16, ctypes.c_size_t, ctypes.c_void_p]
        push(self._running(), request, times, (ctypes.c_int * times)(*[error] * times))

    def heal(self, request: Request) -> None:
        """Forget the errors that `fail` still holds for a kind of request."""
        clear = librdkafka().rd_kafka_mock_clear_request_errors
        clear.argtypes = [ctypes.c_void_p, ctypes.c_int16]
        clear(self._running(), request)
