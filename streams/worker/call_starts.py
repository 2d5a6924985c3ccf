"""What a worker says of its calls before they begin, and what others have said of theirs."""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

from confluent_kafka import KafkaException

from schemas.route import Routed
from streams.kafka.logs import LogError
from streams.kafka.starts import StartLog
from streams.worker.publisher import ResultPublisher

logger = logging.getLogger(__name__)

Fate = Literal["begun", "returned", "unknown"]
"""A call has begun; or it was given back, and the router decides its query again."""
AGAIN = 0.5
"""Seconds after which a topic that could not be read is read again."""


class CallStarts:
    """Announces calls on the topic `starts`, and looks up those of other workers there."""

    def __init__(self, publisher: ResultPublisher, log: StartLog) -> None:
        """Args:
        publisher: Sends the announcements.
        log: Reads those of all workers.
        """
        self._publisher = publisher
        self._log = log

    async def announce(self, routed: Routed) -> None:
        """Say that a call begins, and wait until the broker has acknowledged it."""
        await self._publisher.announce(routed)

    async def give_back(self, routed: Routed) -> None:
        """Say that no call is made, and wait for the acknowledgement."""
        await self._publisher.announce(routed, returned=True)

    async def fate(self, routed: Routed) -> Fate:
        """Return what workers have said of the call of a query whose time is over."""
        start_by = routed.start_by or routed.release_at or 0.0
        asked = self._log.now()
        place = routed.source.partition, start_by - self._log.hold, start_by
        while True:
            try:
                calls = await asyncio.to_thread(self._log.decisions, *place, asked)
            except (LogError, KafkaException) as error:
                logger.warning("calls that have begun cannot be looked up: %s", error)
                await asyncio.sleep(AGAIN)
                continue
            if routed.decision_id in calls.returned:
                return "returned"
            return "begun" if routed.decision_id in calls.begun else "unknown"
