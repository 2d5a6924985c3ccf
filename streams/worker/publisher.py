"""Publishes results and rejections, and reports when the broker has acknowledged them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from schemas.fields import Source
from schemas.rejected import Rejected
from schemas.result import Failure, Result
from schemas.route import Routed
from schemas.start import Start
from schemas.wire import MAX_BYTES, Invalid, decode, encode
from streams.kafka import clients
from streams.kafka.admin import ANSWER
from streams.kafka.carried import carried_key, headers_of
from streams.kafka.producer import put
from streams.kafka.topics import Topics
from streams.kafka.waiting import until_answered
from streams.worker.backends.base import failed
from streams.worker.consumer import PATIENCE, WorkerError

logger = logging.getLogger(__name__)

LARGEST_RESULT = MAX_BYTES - 65_536
"""Bytes; a longer one goes without its response. The rest of a record is key and headers."""
ACKNOWLEDGED = 0.002
"""Seconds between two looks for an acknowledgement that a call waits for."""


def new_producer(
    connection: Mapping[str, Any], settings: Mapping[str, Any] | None = None
) -> Producer:
    """Make the producer that the workers of a process share; settings: more of librdkafka's."""
    quiet = {"log_level": 2}  # what matters is reported with each delivery
    return clients.producer(connection, PATIENCE, {**quiet, **(settings or {})})


class ResultPublisher:
    """Sends one worker's results and rejections."""

    def __init__(self, producer: Producer, topics: Topics) -> None:
        """producer: made by `new_producer`."""
        self.results_topic = topics.results
        self.rejected_topic = topics.rejected
        self.starts_topic = topics.starts
        self._producer = producer
        self._failure: str | None = None
        self._partitions = 0

    def result_partitions(self, number: int) -> int:
        """Return how many partitions the results have; asked again for one of a higher number.

        Raises BrokerError where no broker answers.
        """

        def ask() -> int:
            found = self._producer.list_topics(self.results_topic, timeout=ANSWER).topics
            return len(found[self.results_topic].partitions)

        if number >= self._partitions:
            self._partitions = until_answered(f"partitions of {self.results_topic}", ask, PATIENCE)
        return self._partitions

    @property
    def topics(self) -> Sequence[str]:
        """All topics that it sends to."""
        return self.results_topic, self.rejected_topic, self.starts_topic

    @property
    def failed(self) -> bool:
        """Whether a record was refused, or not acknowledged in time."""
        return self._failure is not None

    def publish(
        self, routed: Routed, headers: Any, result: Result, acknowledged: Callable[[Result], None]
    ) -> None:
        """Send a result to its query's partition number.

        acknowledged: called, from `poll` or `flush`, with the result as it was sent: one that is
        too long for a message, or that the router would refuse, goes without its response.
        """
        result, data = _readable(routed, _described(routed, result))
        key, partition = routed.id.encode(), routed.source.partition
        self._send(self.results_topic, data, key, partition, headers, partial(acknowledged, result))

    async def announce(self, routed: Routed, returned: bool = False) -> None:
        """Say that a call begins, or is not made, and wait until the broker has acknowledged it.

        Where a record is refused, `check` will say so, and this waits for ever.
        """
        acknowledged = asyncio.Event()
        start = Start(
            id=routed.id, decision_id=routed.decision_id, model=routed.model, returned=returned
        )
        key, partition = routed.id.encode(), routed.source.partition
        self._send(self.starts_topic, encode(start), key, partition, None, acknowledged.set)
        while not acknowledged.is_set():
            self._producer.poll(0)  # on the event loop, as results' acknowledgements act on jobs
            await asyncio.sleep(0 if acknowledged.is_set() else ACKNOWLEDGED)

    def reject(
        self, message: Message, invalid: Invalid, source: Source, acknowledged: Callable[[], None]
    ) -> None:
        """Send a record that is no routed query to the rejected topic, with the reason."""
        place = (source.partition, source.offset)
        logger.warning("%s: %s: %s", source.topic, place, invalid.reason)
        rejected = encode(Rejected.of(invalid, message.value(), source))
        self._send(
            self.rejected_topic,
            rejected,
            carried_key(message.key()),
            -1,
            headers_of(message),
            acknowledged,
        )

    def poll(self) -> None:
        """Take in acknowledgements without waiting."""
        self._producer.poll(0)

    def flush(self, timeout: float) -> None:
        """Take in acknowledgements until all are there, at most `timeout` seconds."""
        self._producer.flush(timeout)

    def check(self) -> None:
        """Raise WorkerError where a record was refused."""
        if self._failure is not None:
            raise WorkerError(self._failure)

    def _send(
        self,
        topic: str,
        value: bytes,
        key: bytes | None,
        partition: int,
        headers: Any,
        acknowledged: Callable[[], None],
    ) -> None:
        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is None:
                acknowledged()
            else:
                self._failure = f"topic {topic} does not acknowledge: {error.str()}"

        while True:
            try:
                put(self._producer, topic, value, key, partition, headers or [], delivered)
                return
            except BufferError:  # the producer's queue is full: wait for acknowledgements
                self._producer.poll(0.05)


def _described(routed: Routed, result: Result) -> Result:
    """Return a result with what its query carries along, and whether the answer was cut."""
    try:
        cut = any(choice["finish_reason"] == "length" for choice in result.response["choices"])
    except (KeyError, TypeError):
        cut = False
    return msgspec.structs.replace(
        result,
        tenant=routed.tenant,
        metadata=routed.metadata,
        custom_id=routed.custom_id,
        cut=cut,
    )


def _readable(routed: Routed, result: Result) -> tuple[Result, bytes]:
    """Return a result that the router will read, and its bytes."""
    code, reason = "RESPONSE_UNREADABLE", ""
    try:
        data = encode(result)
        if len(data) <= LARGEST_RESULT:
            decode(Result, data)
            return result, data
        code = "RESPONSE_TOO_LARGE"
        reason = f"the answer makes a message of {len(data)} bytes, {LARGEST_RESULT} may go"
    except (TypeError, ValueError) as error:
        reason = f"no message can carry the answer: {error}"
    failure = Failure(code=code, message=reason)
    try:
        result = msgspec.structs.replace(result, response=None, error=failure)
        data = encode(result)
        decode(Result, data)
    except (TypeError, ValueError):
        result = failed(routed, 502, code, reason, routed.reserved)
        data = encode(result)
    return result, data
