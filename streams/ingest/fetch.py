"""Runs Faust's aiokafka consumer on the app's event loop, and sets what Faust has no settings for.

Faust gives the consumer a thread, whose every step waits until the event loop lets go of the
interpreter: up to five milliseconds each, and a record takes several. On the event loop it waits
for nothing but its turn. Heartbeats are sent from there too: a process whose event loop stands
still for longer than the session timeout loses its partitions.
"""

from __future__ import annotations

import asyncio
from typing import Any

from faust.transport.drivers import aiokafka as driver

from streams.ingest import paced_fetches, record_batches

FETCH_WAIT = 0.1
"""Seconds that the broker may hold a fetch back; Faust asks for 1.5. An embedded broker always
holds a fetch for so long, so this is the latency there; a real one answers at once, except for
partitions that were resumed since."""
ISOLATION = "read_committed"
"""Records of a transaction count when it is committed: clients may produce in transactions. Faust
reads uncommitted ones outside transactions of its own."""


class LoopConsumer(driver.AIOKafkaConsumerThread):
    """What Faust runs in a thread around an aiokafka consumer, run as a task instead."""

    def __init__(self, consumer: Any, *, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__(consumer, loop=loop, thread_loop=loop, **kwargs)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start, and return when the consumer runs; raises what keeps it from starting."""
        self._thread_started.set()
        self._thread_running = self.parent_loop.create_future()
        self._serving = asyncio.create_task(self._serve())
        try:
            await self._thread_running
        finally:
            self._thread_running = None

    async def stop(self) -> None:
        """Stop the consumer."""
        await super().stop()
        if self._serving is not None:
            await asyncio.wait([self._serving])

    async def _gather_remaining_tasks(self) -> None:
        """Cancel nothing: the tasks of the loop are not the consumer's alone."""

    async def getmany(self, active_partitions: Any, timeout: float) -> Any:
        """Return the records that have come, or those that come within `timeout` seconds."""
        consumer = self._ensure_consumer()
        most = consumer._max_poll_records
        return await self._fetch_records(consumer, active_partitions, timeout, most)

    def _create_worker_consumer(self, transport: Any) -> Any:
        record_batches.install()
        paced_fetches.install()
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = int(FETCH_WAIT * 1000)  # read when it starts
        consumer._isolation_level = ISOLATION  # as well
        return consumer

    async def rejoin(self) -> None:
        """Join the group again, with fresh metadata."""
        await self.call_thread(self._rejoin)

    async def _rejoin(self) -> None:
        consumer = self._ensure_consumer()
        await consumer._client.force_metadata_update()
        consumer._coordinator.request_rejoin()
