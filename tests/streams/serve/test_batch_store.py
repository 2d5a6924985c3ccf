"""Files and batches on the topic, as every serving process sees them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streams.brokers import Broker
from streams.config.settings import Config
from streams.serve.batch_records import Counts, StoredBatch, new_id
from streams.serve.batch_store import Store
from tests.support.front import deploy


def batch(owner: str = "shop", **fields: Any) -> StoredBatch:
    given = {
        "id": new_id("batch_"),
        "input_file_id": "file-1",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "created_at": 1,
        "expires_at": 2,
        "owner": owner,
    }
    return StoredBatch(**{**given, **fields})


@pytest.fixture
def config(tmp_path: Path, prefix: str, broker: Broker) -> Config:
    return deploy(tmp_path, prefix, broker)


async def test_files(config: Config) -> None:
    """A file is its owner's at every process, until it is deleted at one of them."""
    async with Store(config) as store, Store(config) as other:
        id = new_id("file-")
        file = await store.add_file(io.BytesIO(b"{}"), "a.jsonl", "batch", "shop", id)
        assert (file.bytes, b"".join(other.content.parts(id))) == (2, b"{}")
        assert await other.file(id, "shop") == file, "also just after it was made"
        assert await store.file(id, "somebody") is None
        assert (store.files("shop"), store.files("somebody")) == ([file], [])
        await store.delete_file(file)
        assert store.files("shop") == []
        with pytest.raises(FileNotFoundError):
            next(other.content.parts(id))


@pytest.mark.parametrize("id", ["", "file-", "file-../x", "file-a/b", "batch_1", "file-\u00e9"])
async def test_ids(config: Config, id: str) -> None:
    """What is no id leads nowhere."""
    async with Store(config) as store:
        assert await store.file(id, "") is None


async def test_cancelled(config: Config) -> None:
    """A batch that is to be cancelled says so, until it has ended; what has ended stays as it is,
    also for those who read the topic later."""
    one = batch()
    async with Store(config) as store:
        await store.save(one)
        assert await store.batch(one.id, "other") is None
        await store.cancel(one.id)
        await store.count(one.id, Counts(total=3, completed=1))
        found = await store.batch(one.id, "shop")
        assert found is not None
        assert (found.status, found.request_counts.completed) == ("cancelling", 1)
        assert found.cancelling_at
        one.status, one.request_counts = "completed", Counts(total=3, completed=3)
        await store.save(one)
        one.status = "in_progress"
        await store.save(one)
        assert [each.status for each in store.batches()] == ["completed"]
    async with Store(config) as later:
        found = await later.batch(one.id)
        assert found is not None
        assert (found.status, found.request_counts.completed) == ("completed", 3)


async def test_other_records(config: Config) -> None:
    """What is no record of ours is left alone; a file that is unknown to fsspec is told at once."""
    async with Store(config) as store:
        await store._log.write("file-x", b"{")
        await store._log.write("batch_x/more", b"[]")
        assert (store.files(""), store.batches()) == ([], [])
    odd = msgspec.structs.replace(config.serve, files="nothing://x")
    with pytest.raises(ValueError, match="nothing"):
        Store(msgspec.structs.replace(config, serve=odd))
