"""Files and batches, asked by OpenAI's own client."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import openai
import pytest

from schemas import Query, Source
from streams.brokers import Broker
from tests.streams.serve.test_batch_run import lines
from tests.support.front import RunningFront, deploy
from tests.support.patience import PATIENCE
from tests.support.stand_in import Message, StandIn, answered


def until(client: openai.OpenAI, id: str, *statuses: str) -> openai.types.Batch:
    """The batch, when it has one of the statuses."""
    end = time.monotonic() + PATIENCE
    while (batch := client.batches.retrieve(id)).status not in statuses:
        assert time.monotonic() < end, batch
        time.sleep(0.05)
    return batch


def test_a_batch(tmp_path: Path, prefix: str, broker: Broker) -> None:
    """Create, poll, download, list, delete; every request has one line."""
    config = deploy(tmp_path, prefix, broker)
    data = b"\n".join(line for _, line in lines(30))
    with StandIn(broker, config), RunningFront(config) as front:
        client = front.client()
        file = client.files.create(file=("in.jsonl", data), purpose="batch")
        assert client.files.content(file.id).content == data
        batch = client.batches.create(
            input_file_id=file.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={"of": "test"},
        )
        batch = until(client, batch.id, "completed")
        assert batch.request_counts is not None
        assert batch.request_counts.model_dump() == {"total": 30, "completed": 29, "failed": 1}
        assert batch.output_file_id is not None
        assert batch.error_file_id is not None
        told = client.files.content(batch.output_file_id).text.splitlines()
        ids = [msgspec.json.decode(line)["custom_id"] for line in told]
        assert sorted(ids) == sorted(f"c{n}" for n in range(1, 30))
        assert [each.id for each in client.batches.list()] == [batch.id]
        assert {each.id for each in client.files.list()} >= {file.id, batch.output_file_id}
        client.files.delete(file.id)
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(file.id)


def test_cancel(tmp_path: Path, prefix: str, broker: Broker) -> None:
    """A batch that is cancelled keeps what was answered, and asks no more."""
    config = deploy(tmp_path, prefix, broker)
    go_on = threading.Event()

    def hold(query: Query, source: Source) -> Sequence[Message]:
        go_on.wait(PATIENCE)
        return [answered(query, source)]

    data = b"\n".join(line for _, line in lines(1500))
    with StandIn(broker, config, hold) as stand_in, RunningFront(config) as front:
        client = front.client()
        file = client.files.create(file=("in.jsonl", data), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        until(client, batch.id, "in_progress")
        assert client.batches.cancel(batch.id).status == "cancelling"
        go_on.set()
        batch = until(client, batch.id, "cancelled")
        assert batch.request_counts is not None
        assert batch.request_counts.completed == len(stand_in.seen) < 1500


@pytest.mark.parametrize("id", ["file-nothing", "file-..", "batch_x", "..%2f..%2fetc%2fpasswd"])
def test_what_is_not_there(tmp_path: Path, prefix: str, broker: Broker, id: str) -> None:
    """An unknown id is a 404, whatever it looks like; wrong requests name their field."""
    with RunningFront(deploy(tmp_path, prefix, broker)) as front:
        client = front.client()
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(id)
        with pytest.raises(openai.NotFoundError):
            client.batches.retrieve(id)
        with pytest.raises(openai.BadRequestError, match="completion_window"):
            client.batches.create(
                input_file_id=id,
                endpoint="/v1/chat/completions",
                completion_window="soon",  # type: ignore[arg-type]  # what is tested
            )
        assert front.post(b"no form", path="/v1/files").status_code == 400
