"""The HTTP front at its edges, before a whole system on a real Kafka."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import orjson
import pytest

from streams.brokers.kafka import KafkaServer
from tests.support.http_fuzz import is_explained, requests, send
from tests.support.patience import PATIENCE
from tests.support.serving import PRICES, Serving
from tests.support.system import MODELS

COUNT = int(os.environ.get("SLUICE_FUZZ_HTTP", "500"))
"""Damaged requests; 10,000 for docs/reliability.md."""
IN_FLIGHT = 20
SERVED, SILENT, POOR = MODELS


@pytest.fixture(scope="module")
def system(
    kafka_broker: KafkaServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    """Of three models one is served, one is not, and one has no budget to speak of."""
    bounds: dict[str, object] = {
        "in_flight": IN_FLIGHT,
        "body_seconds": 2.0,
        "header_seconds": 2.0,
        "deferred_seconds": 0.2,
        "rate": 100_000.0,
    }
    more = {
        "serve": bounds,
        f'models."{POOR}"': {**PRICES, "budget.limit": "0.000000001"},
    }
    folder = tmp_path_factory.mktemp("edges")
    with Serving(kafka_broker, folder, "edges.", more=more) as system:
        system.begin(SERVED)
        yield system


def body(model: str = SERVED, words: str = "hello") -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": words}], "max_tokens": 20}


def post(system: Serving, data: object, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{system.url()}/v1/chat/completions"
    return httpx.post(url, json=data, headers=named, timeout=PATIENCE)


def answers(system: Serving) -> bool:
    """Whether the front does its work."""
    return post(system, body()).status_code == 200


@pytest.mark.kafka
def test_damaged_requests(system: Serving) -> None:
    """Each of many damaged requests is answered, or gets an error that says what is wrong; the
    front goes on, and all that was asked is settled."""
    good = [orjson.dumps(body()), orjson.dumps({**body(), "stream": True, "n": 2})]
    with ThreadPoolExecutor(IN_FLIGHT // 2) as threads:
        told = list(
            threads.map(lambda one: send(system.ports["serve"], one), requests(good, COUNT, 1))
        )
    wrong = [one for one in told if one.status >= 400 and not is_explained(one)]
    assert not wrong, wrong[:3]
    statuses = Counter(one.status for one in told)
    assert statuses[0] < COUNT / 10, "connections were closed without a word"
    assert statuses[400] > COUNT / 10
    assert answers(system)
    print(f"{COUNT} damaged requests: {dict(sorted(statuses.items()))}")


@pytest.mark.kafka
def test_slow_and_large(system: Serving) -> None:
    """Two hundred connections that say a byte now and then, and bodies of ten megabytes, end with
    an error; others are served meanwhile."""
    slow = [socket.create_connection(("127.0.0.1", system.ports["serve"])) for _ in range(200)]
    try:
        for number, client in enumerate(slow):
            head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
            client.sendall(head if number % 2 else head + b"Content-Length: 9\r\n\r\n{")
        assert answers(system)
        for client in slow:
            client.settimeout(PATIENCE)
        for number, client in enumerate(slow):
            said = b"".join(iter(lambda: client.recv(65_536), b""))  # noqa: B023
            if not number % 2:
                assert said.startswith((b"HTTP/1.1 408", b"HTTP/1.1 429"))
    finally:
        for client in slow:
            client.close()
    large = orjson.dumps(body(words="x" * 10_000_000))
    for _ in range(5):
        told = httpx.post(f"{system.url()}/v1/chat/completions", content=large, timeout=PATIENCE)
        assert (told.status_code, told.json()["error"]["code"]) == (413, "too_large")
    assert answers(system)


@pytest.mark.kafka
def test_a_client_that_goes_away(system: Serving) -> None:
    """Its query is answered, and settled."""
    answered, spent = len(system.read(system.topics.results)), system.spent()
    client = http.client.HTTPConnection("127.0.0.1", system.ports["serve"])
    client.request("POST", "/v1/chat/completions", orjson.dumps(body(words="and gone")))
    client.close()
    system.wait("the answer", lambda: len(system.read(system.topics.results)) > answered)
    system.wait("the settlement", lambda: system.spent() > spent)


@pytest.mark.kafka
def test_deadlines_and_budgets(system: Serving) -> None:
    """A query that nobody answers ends with a 504 at its deadline, one without a budget with a 429
    that says when to come again, and a body that does not come with a 408."""
    late = post(system, body(SILENT), x_sluice_deadline="1.5")
    assert (late.status_code, late.json()["error"]["code"]) == (504, "deadline_exceeded")
    poor = post(system, body(POOR))
    assert (poor.status_code, poor.json()["error"]["code"]) == (429, "budget_exceeded")
    assert int(poor.headers["retry-after"]) >= 1
    client = system.client(max_retries=0)
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(
            model=POOR, messages=[{"role": "user", "content": "x"}], max_tokens=20
        )
    assert caught.value.code == "budget_exceeded"


@pytest.mark.kafka
async def test_too_many(system: Serving) -> None:
    """More requests than may be in flight get a 429 with Retry-After; the front goes on."""
    url = f"{system.url()}/v1/chat/completions"
    asked = body(SILENT)
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        headers = {"x-sluice-deadline": "5"}
        told = await asyncio.gather(
            *(client.post(url, json=asked, headers=headers) for _ in range(2 * IN_FLIGHT))
        )
    statuses = Counter(each.status_code for each in told)
    assert statuses[504] >= 1
    assert statuses[429] >= 1
    assert set(statuses) <= {504, 429}
    refused = next(each for each in told if each.status_code == 429)
    assert refused.json()["error"]["code"] in ("too_many_requests", "budget_exceeded")
    assert int(refused.headers["retry-after"]) >= 1
    assert answers(system)
