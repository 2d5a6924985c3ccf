"""Sets how long the broker may hold a fetch back, and that aborted records are not read.

Faust asks for 1.5 s, reads uncommitted records outside transactions of its own, and has no setting
for either.
"""

from __future__ import annotations

from typing import Any

from faust.transport.drivers import aiokafka as driver

from streams.ingest import record_batches

FETCH_WAIT = 0.1
"""Seconds. An embedded broker always holds a fetch for so long, so this is the latency there; a
real one answers at once, except for partitions that were resumed since."""
ISOLATION = "read_committed"
"""Records of a transaction count when it is committed: clients may produce in transactions."""


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread around an aiokafka consumer, with `FETCH_WAIT` and `ISOLATION`."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        record_batches.install()
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = int(FETCH_WAIT * 1000)  # read when it starts
        consumer._isolation_level = ISOLATION  # as well
        return consumer

    async def rejoin(self) -> None:
        """Join the group again, with fresh metadata. To be called on the app's event loop."""
        await self.call_thread(self._rejoin)

    async def _rejoin(self) -> None:
        consumer = self._ensure_consumer()
        await consumer._client.force_metadata_update()
        consumer._coordinator.request_rejoin()
