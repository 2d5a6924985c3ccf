"""Damaged answers: whatever a server sends, a query gets a result that the router takes."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from random import Random

from schemas import Source, encode
from schemas.result import read_result
from schemas.route import Routed
from streams.worker.backends.base import BackendUnavailable
from streams.worker.backends.openai import OpenAI

ANSWERS = int(os.environ.get("SLUICE_FUZZ_ANSWERS", "10000"))
CALLS = 16
RESERVED = 1000

GOOD = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "4"}}],
    "usage": {
        "prompt_tokens": 12,
        "completion_tokens": 34,
        "prompt_tokens_details": {"cached_tokens": 5},
    },
    "error": None,
}
VALUES = [None, -1, 0, 1e308, 10**30, "", "7", "x", True, [], {}, [None], {"a": 1}, "\ud800"]
DATES = ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Mon, 99 Foo 2026", "Thu, 01 Jan 1970"]
HEADERS = ["Retry-After", "Content-Encoding", "Content-Type", "Transfer-Encoding", "Set-Cookie"]
STATUSES = [200, 200, 200, 200, 204, 301, 302, 400, 403, 404, 408, 418, 429, 500, 502, 503]
STATUSES += [504, 520, 529, 599, 600, 999, 1000]


def damaged(random: Random) -> bytes:
    """An HTTP answer with faults in its body, its headers or its bytes."""
    body = json.loads(json.dumps(GOOD))
    for _ in range(random.randrange(3)):
        place = random.choice([body, body["usage"], body["choices"][0]] if "usage" in body else [])
        if isinstance(place, dict) and place:
            place[random.choice(list(place))] = random.choice(VALUES)
        if not isinstance(body.get("usage"), dict) or not isinstance(body.get("choices"), list):
            break
        if not body["choices"] or not isinstance(body["choices"][0], dict):
            break
    data = bytearray(json.dumps(body).encode())
    if random.random() < 0.3:
        bent(random, data)
    if random.random() < 0.1:
        data = bytearray(random.choice([b"", b"\xef\xbb\xbf" + data, b"[" * 5000, b"<html>"]))
    lines = [f"HTTP/1.1 {random.choice(STATUSES)} X", "Connection: close"]
    if random.random() < 0.9:
        lines.append(f"Content-Length: {len(data)}")
    if random.random() < 0.5:
        values = ["gzip", "chunked", "utf-16", "-1", "1e99", "nan", *DATES, "\x80\xff", "é" * 50]
        lines.append(f"{random.choice(HEADERS)}: {random.choice(values)}")
    answer = bytearray("\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + data)
    if random.random() < 0.2:
        bent(random, answer)
    return bytes(answer)


def bent(random: Random, data: bytearray) -> None:
    """Change some bytes, or break off."""
    for _ in range(random.randrange(1, 6)):
        if data:
            data[random.randrange(len(data))] = random.randrange(256)
    if random.random() < 0.3:
        del data[random.randrange(len(data) + 1) :]


async def test_damaged_answers() -> None:
    """Each of them ends its call, with a result that says what was charged, or for now."""
    random = Random(7)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = head.split(b"content-length:")[1].split(b"\r\n")[0]
        await reader.readexactly(int(length))
        writer.write(damaged(random))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def no_wait(_: float) -> None:
        await asyncio.sleep(0)

    backend = OpenAI("gpt", f"http://127.0.0.1:{port}/v1", "sk-secret", 10.0, sleep=no_wait)
    seen: Counter[str] = Counter()

    async def ask(numbers: list[int]) -> None:
        for number in numbers:
            try:
                result = await backend.answer(query(number))
            except BackendUnavailable:
                seen["unavailable"] += 1
                continue
            assert read_result(encode(result)) == result
            assert result.cost is None or 0 <= result.cost <= RESERVED
            assert (result.cost is None) == (result.usage is not None)
            seen[str(result.status_code)] += 1

    async with asyncio.timeout(600):
        await asyncio.gather(*(ask(list(range(i, ANSWERS, CALLS))) for i in range(CALLS)))
    await backend.close()
    server.close()
    assert seen.total() == ANSWERS
    assert min(seen["200"], seen["502"], seen["unavailable"]) > ANSWERS / 100


def query(number: int) -> Routed:
    return Routed(
        id=str(number),
        decision_id=f"queries/0/{number}",
        model="m",
        max_tokens=100,
        reserved=RESERVED,
        policy="test",
        source=Source("queries", 0, number),
        prompt="2 + 2?",
    )
