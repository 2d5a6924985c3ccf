"""Damaged routed messages: each has a result or a rejection, and the worker goes on."""

from __future__ import annotations

import asyncio
import os
from random import Random

from msgspec import structs

from schemas import Result
from schemas.wire import decode, encode
from streams.brokers import Broker
from streams.worker.backends.openai import OpenAI
from tests.support.asking import routed
from tests.support.completion_server import Server
from tests.support.fuzz import damaged
from tests.support.patience import PATIENCE
from tests.support.worker_place import Place

MESSAGES = int(os.environ.get("SLUICE_FUZZ_ROUTED", "2000"))


async def test_damaged_messages(embedded_broker: Broker, prefix: str) -> None:
    """With headers of any kind and a real server: what is committed in the end is all there is."""
    place, server = Place(embedded_broker, prefix), Server()
    body = {"messages": [{"role": "user", "content": "?"}], "max_tokens": 7, "tools": []}
    whole = routed(payload=body, start_by=1e10, release_at=2e10, deadline=3e10, metadata={"a": 1})
    good = [encode(structs.replace(whole, model="m")), encode(routed("b"))]
    random = Random(3)
    for value in damaged(good, MESSAGES, seed=3):
        headers: list[tuple[str, str | bytes | None]] = [
            (random.choice(["", "x", "traceparent"]), random.choice([None, b"", b"\xff"]))
        ]
        place.producer.produce(place.routed, value, b"\xff", 0, headers=headers)
        place.producer.poll(0)
    assert place.producer.flush(PATIENCE) == 0
    place.route("last", decision_id="the last one")
    task = place.start(OpenAI("gpt", server.url))
    async with asyncio.timeout(10 * PATIENCE):
        await place.until_committed(MESSAGES + 1)
    await place.stop(task)
    server.close()
    results = [decode(Result, record.value) for record in await place.read(place.results)]
    rejected = await place.read(place.rejected)
    assert "the last one" in {result.decision_id for result in results}
    assert len(rejected) > MESSAGES / 4
    place.records.close()
