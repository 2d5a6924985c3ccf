"""Ends a router whose topics have been deleted and made again.

A partition's state names the ids of the topics that its offsets refer to. Where one differs the
process ends before it commits anything: records of the new life would be taken for redelivered
ones, and be lost in silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from confluent_kafka import TopicPartition

from streams.kafka import clients
from streams.kafka.admin import ANSWER, TIMEOUT
from streams.kafka.fatal import die
from streams.kafka.records import ConsumedRecord
from streams.kafka.security import Secured, for_librdkafka
from streams.kafka.topic_ids import ADVICE, Counts, Ids, TopicWatch, compare
from streams.kafka.topics import Topics
from streams.kafka.waiting import until_answered


class TopicGuard:
    """Knows the topics' ids at the start of the process, and ends it when one changes."""

    def __init__(
        self,
        broker: Secured,
        topics: Topics,
        group: str,
        seen: Callable[[Counts], None] = lambda counts: None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            broker: where the topics are.
            topics: their names.
            group: the routers' consumer group.
            seen: called on the event loop, at each look, with how many partitions topics have.
        """
        self._guarded = frozenset(guarded(topics))
        self._connection = for_librdkafka(broker)
        # The process knows offsets of the last two as well, and no state does.
        names = (*guarded(topics), topics.prices, topics.starts)
        self._watch = TopicWatch(self._connection, names, die, seen)
        self._queries = topics.queries
        self._changelog = topics.changelog
        self._group = group
        self._last: dict[tuple[str, int], int] = {}

    @property
    def ids(self) -> Ids:
        """Ids of the topics that a partition's state relies on."""
        return {name: id for name, id in self._watch.ids.items() if name in self._guarded}

    async def check_state(self, number: int, ids: Ids | None) -> None:
        """Raise RuntimeError where a partition's state belongs to another life of a topic.

        Args:
            number: the partition.
            ids: those that its state names; None where it has no state.
        """
        await self._watch.start()
        if ids is not None:
            compare(ids, self.ids, f"the state of partition {number}")
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
        await self._watch.watch()

    async def look(self) -> None:
        """Look at the topics' ids and partitions now; nothing where the broker does not answer."""
        await self._watch.look()

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
