"""Notices that topics have gained partitions, and takes up those that all shared topics have.

`sluice topics grow` adds partitions to every topic that shares the queries' partition numbers. A
number is used when all of them have it; until then, and where somebody else's tool has grown one
topic alone, partitions beyond it are not read, which is said once and counted in a metric.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from streams.kafka.topics import Topic, uneven

logger = logging.getLogger(__name__)


class PartitionCount:
    """The partitions in use, of what the broker says.

    Attributes:
        value: partition numbers below it are in use; it never falls.
        unread: partitions of the queries that are not in use.
    """

    def __init__(self, topics: Iterable[Topic], queries: str, value: int) -> None:
        """Args:
        topics: those whose partitions must be there before any of a number is used.
        queries: name of the topic of queries.
        value: partitions that all shared topics had at the start.
        """
        self.value = value
        self.unread = 0
        self._shared = {topic.name: topic for topic in topics if topic.shared}
        self._queries = queries
        self._last: str | None = None
        self._told: str | None = None

    def follow(self, counts: Mapping[str, int]) -> bool:
        """Take in how many partitions topics have, and return whether more are in use now.

        A warning follows when the same was found twice: while topics are being grown, and where a
        broker lags behind the others, numbers differ for a moment.

        Args:
            counts: by topic; those that are missing are not told of.
        """
        known = {name: count for name, count in counts.items() if name in self._shared}
        if known.keys() < self._shared.keys():
            return False
        least = min(known.values())
        grown = least > self.value
        if grown:
            logger.warning(
                "the topics have grown from %d to %d partitions; the new ones are taken up now, "
                "with shares of each limit by grant",
                self.value,
                least,
            )
            self.value = least
        self.unread = max(known[self._queries] - self.value, 0)
        found = uneven(self._shared.values(), known)
        if found is not None and found == self._last and found != self._told:
            self._told = found
            logger.warning("%s", found)
        self._last = found
        return grown
