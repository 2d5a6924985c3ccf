"""Notices that a topic has been deleted and made again: offsets of its former life mean nothing.

Kafka gives each life of a topic an id (KIP-516). A partition's state names the ids of the topics
that its offsets refer to. Where one differs the process ends before it commits anything: records of
the new life would be taken for redelivered ones, and be lost in silence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.kafka import clients
from streams.kafka.admin import ANSWER, TIMEOUT, is_embedded
from streams.kafka.fatal import die
from streams.kafka.records import ConsumedRecord
from streams.kafka.security import Secured, for_librdkafka
from streams.kafka.topics import Topics
from streams.kafka.waiting import is_not_yet, until_answered

logger = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two looks at the topics' ids."""
ADVICE = (
    "it has been deleted and made again, and what the state says of its offsets is void; see "
    "'A topic was deleted' in docs/how-to/operate.md"
)

Ids = Mapping[str, str]
"""Topic ids by topic; of an embedded broker, which has none, empty."""
Counts = Mapping[str, int]
"""Numbers of partitions by topic."""


def _ignore(counts: Counts) -> None:
    """Do nothing with the numbers of partitions."""


class TopicGuard:
    """Knows the topics' ids at the start of the process, and ends it when one changes."""

    def __init__(
        self,
        broker: Secured,
        topics: Topics,
        group: str,
        seen: Callable[[Counts], None] = _ignore,
    ) -> None:
        """Connect to nothing yet.

        Args:
            broker: where the topics are.
            topics: their names.
            group: the routers' consumer group.
            seen: called on the event loop, at each look, with how many partitions topics have.
        """
        self._seen = seen
        self.ids: Ids = {}
        self._names = guarded(topics)
        self._queries = topics.queries
        self._changelog = topics.changelog
        self._group = group
        self._connection = for_librdkafka(broker)
        self._admin = clients.admin(self._connection)
        self._last: dict[tuple[str, int], int] = {}
        self._started = asyncio.Lock()
        self._is_started = False

    async def start(self) -> None:
        """Read the ids, once."""
        async with self._started:
            if not self._is_started:
                self.ids = await asyncio.to_thread(read_ids, self._admin, self._names)
                self._is_started = True

    async def check_state(self, number: int, ids: Ids | None) -> None:
        """Raise RuntimeError where a partition's state belongs to another life of a topic.

        Args:
            number: the partition.
            ids: those that its state names; None where it has no state.
        """
        await self.start()
        if ids is not None:
            _compare(ids, self.ids, f"the state of partition {number}")
        elif self.ids and (end := await asyncio.to_thread(self._committed, number)) > 0:
            raise RuntimeError(
                f"{self._changelog} has no state of partition {number}, but its queries have been "
                f"decided up to offset {end - 1}: {ADVICE}"
            )

    async def saw(self, records: Sequence[ConsumedRecord]) -> None:
        """Look at once where a chunk does not begin after the last one of its partition."""
        if not records:
            return
        first = records[0]
        place = (first.topic, first.partition)
        last = self._last.get(place)
        self._last[place] = records[-1].offset
        if last is not None and first.offset <= last:
            await self.look()

    async def watch(self) -> None:
        """Look every second, for ever."""
        await self.start()
        while self.ids:
            await asyncio.sleep(EVERY)
            try:
                await self.look()
            except KafkaException as error:
                logger.info("the topics' ids are not told: %s", error)

    async def look(self) -> None:
        """Look at the topics' ids and partitions now; nothing where the broker does not answer."""
        if not self.ids:
            return
        try:
            now, counts = await asyncio.to_thread(_describe, self._admin, self._names)
        except (KafkaException, TimeoutError) as error:
            if not is_not_yet(error):
                raise
            return
        try:
            _compare(self.ids, now, "this process")
        except RuntimeError as error:
            die(str(error))
        self._seen(counts)

    def _committed(self, number: int) -> int:
        consumer = clients.group_consumer(self._connection, self._group)
        place = TopicPartition(self._queries, number)

        def ask() -> int:
            [found] = consumer.committed([place], timeout=ANSWER)
            return int(found.offset)

        try:
            return until_answered(f"committed offsets of {self._group}", ask, TIMEOUT)
        finally:
            consumer.close()


def guarded(topics: Topics) -> Sequence[str]:
    """The topics whose offsets or records a partition's state relies on."""
    return (
        topics.queries,
        topics.results,
        topics.deferred,
        topics.receipts,
        topics.control,
        topics.share_grants,
        topics.share_reports,
        topics.changelog,
        topics.controller_changelog,
    )


def read_ids(admin: AdminClient, names: Sequence[str]) -> Ids:
    """Return the ids of topics; those that are missing are left out.

    Raises:
        BrokerError: no broker answers in time.
    """

    def ask() -> Ids:
        return {} if is_embedded(admin) else _describe(admin, names)[0]

    return until_answered("reading the topics' ids", ask, TIMEOUT)


def _describe(admin: AdminClient, names: Sequence[str]) -> tuple[Ids, Counts]:
    asked = admin.describe_topics(TopicCollection(list(names)), request_timeout=ANSWER)
    ids, counts = {}, {}
    for name, answer in asked.items():
        try:
            described = answer.result(TIMEOUT)
            ids[name], counts[name] = str(described.topic_id), len(described.partitions)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
    return ids, counts


def _compare(known: Ids, now: Ids, who: str) -> None:
    for name, id in known.items():
        if now.get(name, id) != id:
            raise RuntimeError(
                f"topic {name} is not the one that {who} knows (id {id}, now {now[name]}): {ADVICE}"
            )
