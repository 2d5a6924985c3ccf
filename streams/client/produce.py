"""Sends queries to the topic `queries` at a rate, and counts acknowledgements."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from confluent_kafka import KafkaError
from confluent_kafka import Message as Record

from schemas.fields import Id
from schemas.invalid import Invalid, wrong
from schemas.query import Query
from schemas.wire import Message, decode, encode
from streams.kafka import clients
from streams.kafka.admin import ANSWER, no_topic
from streams.kafka.errors import BrokerError

IN_FLIGHT = 10_000
"""Queries that are sent and not yet acknowledged, at most: bounds the memory."""
PATIENCE = 60.0
"""Seconds in which the broker must acknowledge a query."""

METHOD, URL = "POST", "/v1/chat/completions"
"""Of the requests in a batch file that can be routed."""

_SETTINGS = {"queue.buffering.max.messages": IN_FLIGHT, "log_level": 0}


class ProduceError(BrokerError):
    """The broker does not accept queries."""


class Line(NamedTuple):
    """A checked line of a file. key: the query's id; value: as it is sent."""

    number: int
    key: bytes
    value: bytes


def check(number: int, line: bytes, batch: str = "") -> Line:
    """Read a line as a query.

    Of a dataset's row, which has outcomes, only id and prompt are sent. A request of an OpenAI
    batch file becomes a query with the id BATCH/CUSTOM_ID: a custom_id is unique in its file alone.

    Args:
        number: of the line.
        line: its bytes.
        batch: names the file in the ids of its requests.

    Raises:
        Invalid: the line is no query.
    """
    if b'"custom_id"' in line and decode(_Keys, line) == _Keys():
        query = _from_batch(decode(_Request, line), batch)
        return Line(number, query.id.encode(), encode(query))
    query = decode(_Row, line)
    if query.scores is not None or query.cost_usd is not None:
        value = encode(Query(id=query.id, prompt=query.text()))
    else:
        value = line.strip()
    return Line(number, query.id.encode(), value)


class Sender:
    """Sends queries to a topic; `flush` waits for the last acknowledgements."""

    def __init__(self, broker: Mapping[str, Any], topic: str) -> None:
        """Connect, and check that the topic exists.

        Args:
            broker: connection settings (`streams.kafka.security.for_librdkafka`).
            topic: the topic of queries.

        Raises:
            ProduceError: there is no such topic.
            KafkaException: no broker answers.
        """
        self.topic = topic
        self.sent = 0
        self.acknowledged = 0
        self._refused: KafkaError | None = None
        self._producer = clients.producer(broker, PATIENCE, _SETTINGS)
        # List all topics: a broker may create one that is asked for by name.
        if topic not in self._producer.list_topics(timeout=ANSWER).topics:
            raise ProduceError(no_topic(topic))

    def send(self, line: Line) -> None:
        """Send a query; blocks while too many are in flight.

        Raises:
            ProduceError: the broker has refused an earlier one.
        """
        while True:
            try:
                self._producer.produce(
                    self.topic, line.value, line.key, on_delivery=self._delivered
                )
                break
            except BufferError:
                self._producer.poll(0.1)
            self._check()
        self.sent += 1
        self._producer.poll(0)
        self._check()

    def wait(self, seconds: float) -> None:
        """Process acknowledgements for `seconds`."""
        self._producer.poll(max(seconds, 0.0))
        self._check()

    def flush(self) -> None:
        """Wait until everything is acknowledged. Raises ProduceError where it is not."""
        self._producer.flush(PATIENCE)
        self._check()
        if self.acknowledged < self.sent:
            missing = self.sent - self.acknowledged
            raise ProduceError(f"topic {self.topic}: {missing} queries are not acknowledged")

    def _delivered(self, error: KafkaError | None, _: Record) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self._refused = error

    def _check(self) -> None:
        if self._refused is not None:
            raise ProduceError(
                f"topic {self.topic} does not take queries: {self._refused.str()} "
                f"({self.acknowledged} of {self.sent} are acknowledged)"
            )


def paced(
    lines: Iterable[Line],
    rate: float | None,
    sender: Sender,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Line]:
    """Send lines, at most `rate` a second where one is given; yield each when it is sent."""
    began = clock()
    for count, line in enumerate(lines):
        if rate is not None:
            while (early := began + count / rate - clock()) > 0:
                sender.wait(min(early, 0.2))
        sender.send(line)
        yield line


class _Row(Query, frozen=True, kw_only=True):
    """A query, or a dataset's row: a prompt with outcomes."""

    scores: Any = None
    cost_usd: Any = None


class _Keys(Message, frozen=True, kw_only=True):
    """What a query has, and a request of a batch file has not."""

    id: Any = None
    prompt: Any = None
    payload: Any = None


class _Request(Message, frozen=True, kw_only=True):
    """A line of an OpenAI batch file."""

    custom_id: Id
    method: str = METHOD
    url: str = URL
    body: dict[str, Any]


def _from_batch(request: _Request, batch: str) -> Query:
    for name, found, wanted in (("method", request.method, METHOD), ("url", request.url, URL)):
        if found != wanted:
            raise wrong(name, found, f"only {METHOD} {URL} can be routed")
    query = Query(
        id=f"{batch}/{request.custom_id}", payload=request.body, custom_id=request.custom_id
    )
    return decode(Query, encode(query))  # its own rules, of the id's length too


def checked(
    lines: Iterable[tuple[int, bytes]], bad: Callable[[int, Invalid], None], batch: str = ""
) -> Iterator[Line]:
    """Check lines one by one.

    Args:
        lines: numbers and bytes.
        bad: called with each that is no query; may raise.
        batch: see `check`.
    """
    for number, line in lines:
        try:
            yield check(number, line, batch)
        except Invalid as error:
            bad(number, error)
