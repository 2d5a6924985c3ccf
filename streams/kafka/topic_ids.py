"""Notices that a topic has been deleted and made again: offsets of its former life mean nothing.

Kafka gives each life of a topic an id (KIP-516). Whoever reads a topic remembers its id from the
start, and stops when it has changed: the records of the new life would be taken for old ones, or be
passed over, and be lost in silence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from streams.kafka import clients
from streams.kafka.admin import ANSWER, TIMEOUT, is_embedded
from streams.kafka.presence import PRESENCE
from streams.kafka.waiting import is_not_yet, until_answered

logger = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two looks at the topics' ids."""
ADVICE = (
    "it has been deleted and made again, and what is known of its offsets is void; see "
    "'A topic was deleted' in docs/how-to/operate.md"
)

Ids = Mapping[str, str]
"""Topic ids by topic; of an embedded broker, which has none, empty."""
Counts = Mapping[str, int]
"""Numbers of partitions by topic."""


class TopicWatch:
    """Knows the ids of topics at the start, and says when one has changed."""

    def __init__(
        self,
        connection: clients.Settings,
        names: Sequence[str],
        changed: Callable[[str], object],
        seen: Callable[[Counts], None] = lambda counts: None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            connection: how the broker is reached.
            names: of the topics; those that are missing at the start are not watched.
            changed: called on the event loop with a line that says which topic it is.
            seen: called on the event loop, at each look, with how many partitions topics have.
        """
        self.ids: Ids = {}
        self._names = names
        self._changed = changed
        self._seen = seen
        self._admin = clients.admin(connection)
        self._started = asyncio.Lock()
        self._is_started = False

    async def start(self) -> None:
        """Read the ids, once.

        Raises:
            BrokerError: no broker answers in time.
        """
        async with self._started:
            if not self._is_started:
                self.ids = await asyncio.to_thread(read_ids, self._admin, self._names)
                self._is_started = True

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
            now, counts = await asyncio.to_thread(self._ask)
        except (KafkaException, TimeoutError) as error:
            if not is_not_yet(error):
                raise
            return
        try:
            compare(self.ids, now, "this process")
        except RuntimeError as error:
            self._changed(str(error))
        self._seen(counts)

    def _ask(self) -> tuple[Ids, Counts]:
        with PRESENCE.asking():
            return _describe(self._admin, self._names)


def read_ids(admin: AdminClient, names: Sequence[str]) -> Ids:
    """Return the ids of topics; those that are missing are left out.

    Raises:
        BrokerError: no broker answers in time.
    """

    def ask() -> Ids:
        return {} if is_embedded(admin) else _describe(admin, names)[0]

    return until_answered("reading the topics' ids", ask, TIMEOUT)


def compare(known: Ids, now: Ids, who: str) -> None:
    """Raise RuntimeError for the first topic that has another id now than `who` knows."""
    for name, id in known.items():
        if now.get(name, id) != id:
            raise RuntimeError(
                f"topic {name} is not the one that {who} knows (id {id}, now {now[name]}): {ADVICE}"
            )


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
