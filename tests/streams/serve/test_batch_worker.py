"""Who runs a batch, and what is refused. (Whole batches: test_batch_routes.)"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from streams.brokers.embedded import EmbeddedBroker
from streams.serve.batch_store import Store
from streams.serve.batch_worker import BatchWorker, checked_window, endpoint_known
from tests.streams.serve.test_batch_run import lines
from tests.streams.serve.test_batch_store import batch
from tests.support.front import deploy
from tests.support.stand_in import StandIn


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("24h", 86_400), ("90m", 5400), ("7d", 604_800), ("0h", None), ("h", None), (24, None)],
)
def test_windows(text: object, seconds: int | None) -> None:
    """A window is a number with a unit."""
    assert checked_window(text) == seconds


def test_endpoints() -> None:
    """Only chat completions can be routed."""
    assert endpoint_known("/v1/chat/completions")
    assert not endpoint_known("/v1/embeddings")


async def test_two_workers(tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker) -> None:
    """One of two takes a batch and the other leaves it; an empty input fails."""
    config = deploy(tmp_path, prefix, embedded_broker)
    store, one, empty = Store(config.serve.files), batch(), batch()
    config.serve.files.mkdir()
    one.created_at, one.expires_at = int(time.time()), int(time.time()) + 600
    one.input_file_id, empty.input_file_id = "file-1", "file-2"
    store.content("file-1").write_bytes(b"\n".join(line for _, line in lines(20)))
    store.content("file-2").write_bytes(b"")
    store.save(one)
    store.save(empty)
    with StandIn(embedded_broker, config) as stand_in:
        tasks = [asyncio.create_task(BatchWorker(config, store).run()) for _ in range(2)]
        while {each.status for each in store.batches()} != {"completed", "failed"}:
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    ended = store.batch(one.id)
    assert ended is not None
    assert (ended.request_counts.completed, ended.request_counts.failed) == (19, 1)
    assert len(stand_in.seen) == 19
