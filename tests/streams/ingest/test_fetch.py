"""The consumer on the event loop: its life, and the wait of a fetch."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import faust
import pytest
from aiokafka.errors import KafkaConnectionError

from streams.brokers.embedded import EmbeddedBroker
from streams.ingest.chunks import Consumer
from streams.ingest.fetch import FETCH_WAIT, LoopConsumer


def _consumer_of(app: faust.App) -> LoopConsumer:
    consumer = app.consumer
    assert isinstance(consumer, Consumer)
    return consumer._new_consumer_thread()


async def test_the_fetcher_waits_as_long_as_we_say(
    embedded_broker: EmbeddedBroker, tmp_path: Path, prefix: str
) -> None:
    """The aiokafka consumer behind our transport asks the broker with our wait, not Faust's."""
    app = faust.App(f"{prefix}app", broker=f"sluice://{embedded_broker.servers}", datadir=tmp_path)
    thread = _consumer_of(app)
    fetching = thread._create_worker_consumer(app.transport)
    await fetching.start()
    try:
        assert fetching._fetcher._fetch_max_wait_ms == FETCH_WAIT * 1000
    finally:
        await fetching.stop()


async def test_it_runs_on_the_event_loop(
    embedded_broker: EmbeddedBroker, tmp_path: Path, prefix: str
) -> None:
    """It is started and stopped without a thread, and leaves the loop's other tasks alone."""
    app = faust.App(f"{prefix}app", broker=f"sluice://{embedded_broker.servers}", datadir=tmp_path)
    thread = _consumer_of(app)
    other = asyncio.create_task(asyncio.Event().wait())
    before = threading.active_count()
    await thread.start()
    assert thread._ensure_consumer()._client is not None
    assert threading.active_count() == before
    await thread.stop()
    assert not other.done()
    other.cancel()


async def test_a_failure_to_start_is_raised(tmp_path: Path, prefix: str) -> None:
    """Where no broker answers, say."""
    app = faust.App(f"{prefix}app", broker="sluice://127.0.0.1:9", datadir=tmp_path)
    thread = _consumer_of(app)
    with pytest.raises(KafkaConnectionError):
        await thread.start()
