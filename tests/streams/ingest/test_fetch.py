"""The wait of a fetch, which Faust offers no setting for."""

from __future__ import annotations

from pathlib import Path

import faust

from streams.brokers.embedded import EmbeddedBroker
from streams.ingest.chunks import Consumer
from streams.ingest.fetch import FETCH_WAIT, ConsumerThread


async def test_the_fetcher_waits_as_long_as_we_say(
    embedded_broker: EmbeddedBroker, tmp_path: Path, prefix: str
) -> None:
    """The aiokafka consumer behind our transport asks the broker with our wait, not Faust's."""
    app = faust.App(f"{prefix}app", broker=f"sluice://{embedded_broker.servers}", datadir=tmp_path)
    consumer = app.consumer
    assert isinstance(consumer, Consumer)
    thread = consumer._new_consumer_thread()
    assert isinstance(thread, ConsumerThread)
    fetching = thread._create_worker_consumer(app.transport)
    await fetching.start()
    try:
        assert fetching._fetcher._fetch_max_wait_ms == FETCH_WAIT * 1000
    finally:
        await fetching.stop()
