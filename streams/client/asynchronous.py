"""Sends queries and awaits their answers, on an event loop.

async with AsyncClient(load()) as client:
    answer = await client.ask("What is a sluice?", tenant="shop")
    async for ending in client.ask_all(queries):
        ...
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from router.models.catalog import ModelCatalog
from schemas.invalid import Invalid
from schemas.query import Query
from schemas.receipt import Receipt
from schemas.rejected import Rejected
from schemas.result import Result
from schemas.wire import decode, encode
from streams.client.answers import Answer, of_rejection, of_result, waited
from streams.client.errors import DeadlineExceeded, QueryError, QueryRejected
from streams.client.reader import AnswerReader
from streams.config.settings import Config
from streams.control.commands import read_registry
from streams.kafka.logs import Record
from streams.kafka.producer import Outbox
from streams.kafka.security import for_librdkafka
from streams.kafka.topics import Topics

Question = str | Mapping[str, Any] | Query
"""A prompt, an OpenAI chat-completions body, or a whole query."""
Ending = Answer | QueryError
"""How a query ends."""
SLACK = 0.5
"""Seconds after its deadline in which the last word on a query may arrive."""
IN_FLIGHT = 1000
"""Queries that `ask_all` has sent and that have not ended, at most."""


@dataclass(slots=True)
class _Pending:
    """A query that was sent.

    Attributes:
        query: What was sent.
        ending: What becomes of it.
        deferred: Set while it waits for money, as far as is known.
        waiters: Callers that wait for the ending.
    """

    query: Query
    ending: asyncio.Future[Ending] = field(default_factory=asyncio.Future)
    deferred: asyncio.Event = field(default_factory=asyncio.Event)
    waiters: int = 0


class AsyncClient:
    """Sends queries to a running Sluice and awaits what becomes of them.

    Any number of clients may run side by side: each picks the answers to its own queries. A query
    whose client is gone is answered and settled all the same.
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
        self._pending: dict[bytes, _Pending] = {}
        self._catalog: ModelCatalog = config.catalog()
        self._outbox: Outbox | None = None
        self._reader: AnswerReader | None = None

    async def open(self) -> Self:
        """Connect.

        Raises:
            BrokerError: Topics are missing.
            KafkaException: No broker answers.
        """
        names = (self._topics.results, self._topics.rejected, self._topics.receipts)
        connection = for_librdkafka(self._config.broker)
        self._reader = AnswerReader(connection, names, self._wanted, self._handle, self._since)
        await self.refresh()
        servers, security = self._config.broker.servers, self._config.broker.security
        self._outbox = Outbox(servers, {**security, "linger.ms": 1})
        return self

    async def refresh(self) -> None:
        """Learn the models that were added at run time."""
        registry = await asyncio.to_thread(read_registry, self._config)
        self._catalog = self._config.catalog().extended(registry.newcomers())

    async def close(self) -> None:
        """Disconnect. Queries that were sent go on without this client."""
        for part in (self._outbox, self._reader):
            if part is not None:
                await asyncio.to_thread(part.close)
        self._outbox = self._reader = None
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

    async def submit(self, question: Question, **fields: Any) -> str:
        """Send a query; return its id when the broker has it.

        Args:
            question: What is asked.
            fields: Of the `Query` (id, tenant, deadline, allowed_models, max_cost, …).

        Raises:
            QueryRejected: It breaks a rule, and was not sent.
            KafkaException: The broker did not acknowledge it. It may have it all the same.
        """
        query, data = checked(question, fields)
        assert self._outbox is not None, "open the client first"
        key = query.id.encode()
        if key in self._pending:
            return query.id
        self._pending[key] = _Pending(query)
        try:
            batch = self._outbox.batch()
            batch.send(self._topics.queries, data, key)
            await batch.delivered()
        except BaseException:
            self._pending.pop(key, None)
            raise
        return query.id

    async def wait(self, id: str, patience: float | None = None) -> Answer:
        """Return the answer to a query that was submitted.

        Args:
            id: What `submit` returned.
            patience: Seconds that a deferred query is waited for; None: until its deadline.

        Raises:
            QueryError: It ended without an answer; which class tells why.
            KeyError: No query of this id is under way here.
        """
        pending = self._pending[id.encode()]
        pending.waiters += 1
        try:
            ending = await self._ending(pending, patience)
        finally:
            pending.waiters -= 1
            if not pending.waiters:
                self._pending.pop(id.encode(), None)
        if isinstance(ending, QueryError):
            raise ending
        return ending

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
        running: set[asyncio.Task[Ending]] = set()
        left = iter(questions)
        more = True
        try:
            while more or running:
                while more and len(running) < in_flight:
                    try:
                        question = next(left)
                    except StopIteration:
                        more = False
                        break
                    running.add(asyncio.create_task(self._end(question, fields)))
                if running:
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        yield task.result()
        finally:
            for task in running:
                task.cancel()

    async def _end(self, question: Question, fields: Mapping[str, Any]) -> Ending:
        try:
            return await self.ask(question, **fields)
        except QueryError as error:
            return error

    async def _ending(self, pending: _Pending, patience: float | None) -> Ending:
        query = pending.query
        left = None if query.deadline is None else query.deadline + SLACK - time.time()
        patient = asyncio.create_task(self._patient(pending, patience))
        parts: set[asyncio.Future[Any]] = {pending.ending, patient}
        try:
            await asyncio.wait(parts, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            patient.cancel()
        if pending.ending.done():
            return pending.ending.result()
        if pending.deferred.is_set():
            return waited(query.id)
        reason = "the deadline passed before there was an answer"
        return DeadlineExceeded(query.id, "deadline_exceeded", reason)

    async def _patient(self, pending: _Pending, patience: float | None) -> None:
        """Return when a query that waits for money has been waited for long enough."""
        await pending.deferred.wait()
        if patience is None:
            await asyncio.wait({pending.ending})  # cancels nothing of it
        else:
            await asyncio.sleep(patience)
            await pending.deferred.wait()  # it may have been routed meanwhile

    def _wanted(self, key: bytes) -> bool:
        return key in self._pending or self._kept(key)

    def _handle(self, records: Sequence[Record]) -> None:
        for record in records:
            key = record.key or b""
            pending = self._pending.get(key)
            if record.topic == self._topics.receipts:
                if pending is not None:
                    _follow(pending, record)
                continue
            ending = self._read(record, pending is not None and pending.deferred.is_set())
            if ending is None:
                continue
            if self._kept(key):
                self._keep(key.decode(errors="replace"), ending)
            if pending is not None and not pending.ending.done():
                pending.ending.set_result(ending)

    def _read(self, record: Record, deferred: bool) -> Ending | None:
        try:
            if record.topic == self._topics.results:
                return of_result(decode(Result, record.value), self._catalog)
            rejected = decode(Rejected, record.value, max_bytes=len(record.value or b""))
        except Invalid:
            return None
        # A result that came twice is rejected under the same key: it says nothing of the query.
        ours = rejected.source.topic in self._topics.logs
        return of_rejection(rejected, deferred) if ours else None


def _follow(pending: _Pending, record: Record) -> None:
    """Note whether a query waits for money."""
    try:
        receipt = decode(Receipt, record.value)
    except Invalid:
        return
    if receipt.decision == "deferred":
        pending.deferred.set()
    elif receipt.decision == "routed":
        pending.deferred.clear()


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
