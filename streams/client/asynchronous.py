"""Sends queries and awaits their answers, on an event loop.

async with AsyncClient(load()) as client:
    answer = await client.ask("What is a sluice?", tenant="shop")
    async for ending in client.ask_all(queries):
        ...
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar

from confluent_kafka import KafkaException, Message

from router.models.catalog import ModelCatalog
from schemas.invalid import Invalid
from schemas.query import Query
from schemas.rejected import Rejected
from schemas.result import first_decision, read_result
from schemas.wire import decode, encode
from streams.client.answers import Answer, Ending, of_rejection, of_result
from streams.client.errors import ClientError, GivenUp, QueryError, QueryRejected
from streams.client.pending import Pending
from streams.client.reader import AnswerReader
from streams.client.repeats import Repeats
from streams.config.settings import Config
from streams.control.registry import Registry
from streams.kafka.errors import BrokerError
from streams.kafka.follower import Follower
from streams.kafka.logs import Record, to_record
from streams.kafka.producer import Outbox
from streams.kafka.security import for_librdkafka
from streams.kafka.topic_ids import TopicWatch
from streams.kafka.topics import Topics
from streams.tracing.context import current

Question = str | Mapping[str, Any] | Query
"""A prompt, an OpenAI chat-completions body, or a whole query."""
Returned = TypeVar("Returned")
logger = logging.getLogger(__name__)

AGAIN = 0.5
"""Seconds until a query is sent again whose first of the same id was failing when it came."""
IN_FLIGHT = 1000
"""Queries that `ask_all` has sent and that have not ended, at most."""


class AsyncClient:
    """Sends queries to a running Sluice and awaits what becomes of them.

    Any number of clients may run side by side: each picks the answers to its own queries. A query
    whose client is gone is answered and settled all the same.

    Size: three ways to ask over one table of what is under way.
    """

    def __init__(
        self,
        config: Config,
        *,
        kept: Callable[[bytes], bool] = lambda key: False,
        keep: Callable[[str, Ending], None] = lambda id, ending: None,
        since: float | None = None,
    ) -> None:
        """Open nothing yet: `async with`, or `open`.

        Args:
            config: Names the broker, the topics and the models' prices.
            kept: Whether an id is of interest although this client has not sent it.
            keep: Called with the ending of each of those.
            since: Unix seconds from which on endings are read; None for now.
        """
        self._config = config
        self._topics = Topics(config.topics.prefix)
        self._kept, self._keep, self._since = kept, keep, since
        self._pending: dict[bytes, Pending] = {}
        self._catalog: ModelCatalog = config.catalog()
        self._registry = Registry(models=config.taken_names())
        self._follower: Follower | None = None
        self._outbox: Outbox | None = None
        self._reader: AnswerReader | None = None
        self._watching: asyncio.Task[None] | None = None
        self._repeats = Repeats(config.broker, config.failover.attempts)
        self._repeating: set[asyncio.Task[None]] = set()

    async def open(self) -> Self:
        """Connect.

        Raises:
            BrokerError: Topics are missing.
            KafkaException: No broker answers.
        """
        names = (self._topics.results, self._topics.rejected, self._topics.receipts)
        connection = for_librdkafka(self._config.broker)
        watch = TopicWatch(connection, (*names, self._topics.control), self._lose)
        await watch.start()
        self._reader = AnswerReader(connection, names, self._wanted, self._handle, self._since)
        servers, security = self._config.broker.servers, self._config.broker.security
        self._follower = Follower(servers, self._topics.control, self._learn, security)
        await self._follower.caught_up()
        await self._reader.caught_up()
        self._outbox = Outbox(servers, {**security, "linger.ms": 1})
        self._watching = asyncio.create_task(watch.watch())
        return self

    async def close(self) -> None:
        """Disconnect. Queries that were sent go on without this client."""
        if self._watching is not None:
            self._watching.cancel()
        for task in self._repeating:
            task.cancel()
        for part in (self._outbox, self._follower, self._reader):
            if part is not None:
                await asyncio.to_thread(part.close)
        self._outbox = self._follower = self._reader = None
        for pending in self._pending.values():
            pending.ending.cancel()
        self._pending.clear()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def failure(self) -> str | None:
        """Why no answers arrive any more; None while all is well."""
        return None if self._reader is None else self._reader.failure

    @property
    def models(self) -> list[str]:
        """Names of the models that there are, also those added at run time; none is removed."""
        names = self._catalog.names
        return [name for name in names if self._registry.status(name) != "removed"]

    async def submit(self, question: Question, **fields: Any) -> str:
        """Send a query; return its id when the broker has it.

        Where the program uses OpenTelemetry, the query belongs to its current span.

        Args:
            question: What is asked.
            fields: Of the `Query` (id, tenant, deadline, allowed_models, max_cost, …).

        Raises:
            QueryRejected: It breaks a rule, and was not sent.
            ClientError: No answers arrive any more (`failure`); it was not sent.
            KafkaException: The broker did not acknowledge it. It may have it all the same.
        """
        query, data = checked(question, fields)
        if self.failure is not None:
            raise ClientError(self.failure)
        key = query.id.encode()
        if key in self._pending:
            return query.id
        self._pending[key] = Pending(query)
        try:
            await self._send(key, data)
        except BaseException:
            self._pending.pop(key, None)
            raise
        return query.id

    async def _send(self, key: bytes, data: bytes) -> None:
        assert self._outbox is not None, "open the client first"
        batch = self._outbox.batch()
        batch.send(self._topics.queries, data, key, headers=current())
        await batch.delivered()

    async def wait(self, id: str, patience: float | None = None) -> Answer:
        """Return the answer to a query that was submitted.

        Args:
            id: What `submit` returned.
            patience: Seconds that a deferred query is waited for; None: until its deadline.

        Raises:
            QueryError: It ended without an answer; which class tells why.
            ClientError: Topics were deleted and made again; no ending can arrive any more.
            KeyError: No query of this id is under way here.
        """
        pending = self._pending[id.encode()]
        pending.waiters += 1
        try:
            ending = await pending.ended(patience)
        finally:
            pending.waiters -= 1
            if not pending.waiters:
                self._pending.pop(id.encode(), None)
        if isinstance(ending, QueryError):
            raise ending
        return ending

    def give_up(self, everything: bool = False) -> None:
        """End all waiting with `GivenUp`: for queries that wait for money, or for everything."""
        for pending in list(self._pending.values()):
            if everything or pending.deferred.is_set():
                id = pending.query.id
                pending.end(GivenUp(id, "given_up", "nobody waits for the answer any more"))

    async def ask(self, question: Question, patience: float | None = None, **fields: Any) -> Answer:
        """Submit, and wait for the answer; see both."""
        return await self.wait(await self.submit(question, **fields), patience)

    async def ask_all(
        self, questions: Iterable[Question], in_flight: int = IN_FLIGHT, **fields: Any
    ) -> AsyncIterator[Ending]:
        """Send many queries and yield how each ends, in the order in which they end.

        Args:
            questions: Taken one by one; at most `in_flight` are under way.
            in_flight: Bounds the memory.
            fields: Of all the queries.
        """
        endings = as_they_end((self._end(each, fields) for each in questions), in_flight)
        async for ending in endings:
            yield ending

    async def _end(self, question: Question, fields: Mapping[str, Any]) -> Ending:
        try:
            return await self.ask(question, **fields)
        except QueryError as error:
            return error

    def _lose(self, reason: str) -> None:
        """Stop waiting: the offsets of a topic mean nothing any more."""
        assert self._reader is not None
        self._reader.fail(reason)
        for pending in self._pending.values():
            pending.abandon(ClientError(reason))

    def _learn(self, message: Message) -> None:
        """Take in an admin command: models may have been added."""
        record = to_record(message)
        self._registry.read(record.key, record.value, record.offset)
        self._catalog = self._config.catalog().extended(self._registry.newcomers())

    def _wanted(self, key: bytes) -> bool:
        return key in self._pending or self._kept(key)

    def _handle(self, records: Sequence[Record]) -> None:
        for record in records:
            key = record.key or b""
            pending = self._pending.get(key)
            if record.topic == self._topics.receipts:
                if pending is not None:
                    pending.follow(record)
                continue
            ending = self._read(record, pending)
            if ending is None:
                continue
            if self._kept(key):
                self._keep(key.decode(errors="replace"), ending)
            if pending is not None:
                pending.end(ending)

    def _read(self, record: Record, pending: Pending | None) -> Ending | None:
        try:
            if record.topic == self._topics.results:
                result = read_result(record.value)
                if self._kept(key := record.key or b""):
                    if (first := first_decision(result)) is not None:
                        if pending is not None:
                            task = asyncio.create_task(self._repeat(pending, key, first))
                            self._repeating.add(task)
                            task.add_done_callback(self._repeating.discard)
                        return None
                    self._repeats.note(key, result)
                if pending and pending.goes_on(result, self._config.failover.attempts):
                    return None
                return of_result(result, self._catalog)
            rejected = decode(Rejected, record.value, max_bytes=len(record.value or b""))
        except Invalid:
            return None
        # A result that came twice is rejected under the same key: it says nothing of the query.
        log = self._topics.logs.get(rejected.source.topic)
        return None if log is None else of_rejection(rejected, deferred=log == "deferred")

    async def _repeat(self, pending: Pending, key: bytes, first: str) -> None:
        """Bring a query to its end that was repeated on purpose, where the first of its id does
        not. Mostly the answer to that comes, or has come, for both.
        """
        try:
            if self._repeats.has_failed(key, first):
                await asyncio.sleep(AGAIN)
                if not pending.ending.done():
                    await self._send(key, encode(pending.query))
            elif await asyncio.to_thread(self._repeats.is_over, first):
                reason = "it was sent before, and the answer is not kept any more: take a new id"
                pending.end(QueryRejected(pending.query.id, "duplicate", reason, "id"))
        except (BrokerError, KafkaException) as error:  # it is waited for until its deadline
            logger.warning("query %s: what became of the first is not known: %s", key, error)


async def as_they_end(
    works: Iterable[Coroutine[Any, Any, Returned]], most: int
) -> AsyncIterator[Returned]:
    """Await many coroutines, at most so many at a time, and yield what they return as they end."""
    running: set[asyncio.Task[Returned]] = set()
    left = iter(works)
    try:
        while True:
            running |= {asyncio.create_task(work) for work in islice(left, most - len(running))}
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        for task in running:
            task.cancel()


def checked(question: Question, fields: Mapping[str, Any]) -> tuple[Query, bytes]:
    """Return the query that is meant, and its bytes.

    Raises:
        QueryRejected: It breaks a rule.
    """
    id = str(fields.get("id") or (question.id if isinstance(question, Query) else uuid.uuid4().hex))
    try:
        if isinstance(question, Query):
            query = question
        else:
            asked = {"prompt" if isinstance(question, str) else "payload": question}
            query = Query(**{**fields, **asked, "id": id})
        data = encode(query)
        return decode(Query, data), data
    except Invalid as error:
        raise QueryRejected(id, error.code, error.reason, error.field) from None
    except (TypeError, ValueError) as error:
        raise QueryRejected(id, "invalid_field", str(error)) from None
