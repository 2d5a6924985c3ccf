"""Who runs a batch, and what is refused. (Whole batches: test_batch_routes.)"""

from __future__ import annotations

import asyncio
import io
import time
from pathlib import Path

import pytest

from streams.brokers import Broker
from streams.serve.batch_records import UNFINISHED, StoredBatch, new_id
from streams.serve.batch_store import Store
from streams.serve.batch_worker import BatchWorker, checked_window, endpoint_known
from tests.streams.serve.test_batch_run import lines
from tests.streams.serve.test_batch_store import batch
from tests.support.front import deploy
from tests.support.stand_in import StandIn


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("24h", 86_400),
        ("90m", 5400),
        ("30d", 2_592_000),
        ("31d", None),
        ("0h", None),
        ("h", None),
        (24, None),
    ],
)
def test_windows(text: object, seconds: int | None) -> None:
    """A window is a number with a unit."""
    assert checked_window(text) == seconds


def test_endpoints() -> None:
    """Only chat completions can be routed."""
    assert endpoint_known("/v1/chat/completions")
    assert not endpoint_known("/v1/embeddings")


async def test_two_workers(tmp_path: Path, prefix: str, broker: Broker) -> None:
    """One of two runs the batches, and the other goes on when it has left; an empty input fails,
    and so does one that is not there."""
    config = deploy(tmp_path, prefix, broker)
    now = int(time.time())
    first, second, empty, lost = [batch(created_at=now, expires_at=now + 600) for _ in range(4)]
    data = b"\n".join(line for _, line in lines(20))
    async with Store(config) as store:
        for each, content in ((first, data), (second, data), (empty, b"")):
            each.input_file_id = new_id("file-")
            file = io.BytesIO(content)
            await store.add_file(file, "a", "batch", "shop", each.input_file_id)

        async def ended(*batches: StoredBatch) -> None:
            for each in batches:
                await store.save(each)
            ids = {each.id for each in batches}
            while {b.status for b in store.batches() if b.id in ids} & UNFINISHED:
                await asyncio.sleep(0.05)

        with StandIn(broker, config) as stand_in:
            tasks = [asyncio.create_task(BatchWorker(config, store).run()) for _ in range(2)]
            await ended(first, empty, lost)
            assert [b.status for b in store.batches()].count("failed") == 2
            tasks[0].cancel()
            await asyncio.gather(tasks[0], return_exceptions=True)
            await ended(second)
            tasks[1].cancel()
            await asyncio.gather(tasks[1], return_exceptions=True)
        for each in (first, second):
            found = await store.batch(each.id)
            assert found is not None
            counts = found.request_counts
            assert (counts.completed, counts.failed, counts.total) == (19, 1, 20)
            assert found.output_file_id is not None
            assert b"".join(store.content.parts(found.output_file_id)).count(b"\n") == 19
    assert len(stand_in.seen) == 38
