"""Files and batches, asked by OpenAI's own client."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import msgspec
import openai
import pytest

from schemas import Query, Source
from streams.brokers import Broker
from streams.brokers.embedded import EmbeddedBroker
from tests.streams.serve.test_batch_lines import line
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


def test_what_keeps_nothing(tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker) -> None:
    """A disk that takes no files is no defect, and no fault of the request."""
    (tmp_path / "files").write_text("where the folder of files should be")
    with RunningFront(deploy(tmp_path, prefix, embedded_broker)) as front:
        client = front.client(max_retries=0)
        with pytest.raises(openai.InternalServerError) as caught:
            client.files.create(file=("f", b"{}"), purpose="batch")
        assert caught.value.status_code == 503
        assert "try again later" in caught.value.message


def test_lists(tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker) -> None:
    """Of one purpose only, page by page, in either order: who deletes what a list shows must not
    be shown anything else."""
    with RunningFront(deploy(tmp_path, prefix, embedded_broker)) as front:
        client = front.client()
        made = [client.files.create(file=("f", b"{}"), purpose="batch").id for _ in range(3)]
        assert list(client.files.list(purpose="batch_output")) == []
        assert {each.id for each in client.files.list(purpose="batch", limit=2)} == set(made)
        newest = [each.id for each in client.files.list(limit=1)]
        assert [each.id for each in client.files.list(order="asc")] == newest[::-1]
        for after in ("file-nothing", "nothing"):
            with pytest.raises(openai.NotFoundError):
                client.files.list(after=after)
            with pytest.raises(openai.NotFoundError):
                client.batches.list(after=after)
        with pytest.raises(openai.BadRequestError, match="after"):
            client.files.list(after=made[0], purpose="batch_output")
        for wrong in ("limit=x", "limit=0", "order=up"):
            found = httpx.get(f"{front.url}/v1/files?{wrong}")
            assert found.status_code == 400
            assert found.json()["error"]["param"] == wrong.partition("=")[0]


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
        told = front.post(b"no form", path="/v1/files")
        assert told.status_code == 400
        assert "Content-Type is missing" in told.json()["error"]["message"]


BATCH: dict[str, object] = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
WRONG: list[tuple[dict[str, object], str]] = [
    ({"endpoint": None}, "endpoint"),
    ({}, "input_file_id"),
    ({"input_file_id": 7}, "input_file_id"),
    ({"input_file_id": "file-nothing"}, "input_file_id"),
    ({"metadata": {"a": 1}}, "metadata"),
    ({"metadata": {"a": "x" * 513}}, "metadata"),
    ({"metadata": {str(i): "x" for i in range(17)}}, "metadata"),
]


def test_what_is_no_batch(tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker) -> None:
    """An error names the field."""
    with RunningFront(deploy(tmp_path, prefix, embedded_broker)) as front:
        for fields, param in WRONG:
            told = front.post(msgspec.json.encode({**BATCH, **fields}), path="/v1/batches")
            assert told.status_code in (400, 404)
            assert told.json()["error"]["param"] == param


def request(number: int, **fields: object) -> bytes:
    body = {"model": "auto", "messages": [{"role": "user", "content": f"number {number}"}]}
    return line(**{"custom_id": f"c{number}", "body": body, **fields})


BODY = {"model": "small", "messages": [{"role": "user", "content": "x"}]}
INPUTS: dict[str, tuple[bytes, str, int, set[str]]] = {
    "windows": (b"\xef\xbb\xbf" + b"\r\n\r\n".join(map(request, range(3))), "completed", 3, set()),
    "gzip": (gzip.compress(b"\n".join(map(request, range(3)))), "completed", 3, set()),
    "mixed": (
        b"\n".join(
            [
                request(1, body={**BODY, "stream": True}),
                request(2, body={**BODY, "model": "large,small"}),
                request(3, body={**BODY, "model": "gpt-9"}),
                request(4, url="/v1/embeddings"),
                request(5, method="GET"),
                request(1),
                request(6, body={**BODY, "messages": [{"role": "user", "content": "x" * 2**21}]}),
                b"[]",
            ]
        ),
        "completed",
        2,
        {"model_not_found", "invalid_url", "duplicate_custom_id", "too_large", "invalid_json"},
    ),
    "nothing": (b"\n\n", "failed", 0, set()),
    "too-many": (b"{}\n" * 50_001, "failed", 0, set()),
    "endless": (b"x" * (17 << 20), "failed", 0, set()),
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs(tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker, name: str) -> None:
    """Files as people have them: what is a request is answered, each other line says why not; what
    is no batch fails whole, with its reason."""
    data, status, answered, codes = INPUTS[name]
    config = deploy(tmp_path, prefix, embedded_broker)
    with StandIn(embedded_broker, config), RunningFront(config) as front:
        client = front.client()
        file = client.files.create(file=("in.jsonl", data), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        batch = until(client, batch.id, "completed", "failed")
        assert batch.status == status
        assert batch.request_counts is not None
        assert batch.request_counts.completed == answered
        if status == "failed":
            assert batch.errors is not None
            assert batch.errors.data
            assert batch.errors.data[0].message
        elif codes:
            assert batch.error_file_id is not None
            told = client.files.content(batch.error_file_id).text.splitlines()
            found = [msgspec.json.decode(each)["response"]["body"]["error"] for each in told]
            assert {each["code"] for each in found} == codes
