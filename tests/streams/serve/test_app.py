"""The front, asked by OpenAI's own client, with a stand-in for router and workers."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import openai
import pytest
from msgspec import structs

from schemas import Query, Result, Source
from schemas.result import Failure, duplicate_of
from streams.brokers import Broker
from streams.serve.keys import hashed, new_key
from streams.state.decision_ids import decision_id
from tests.streams.client.test_asynchronous import by_prompt
from tests.support.front import RunningFront, deploy
from tests.support.stand_in import Message, StandIn, answered

SHOP, ADMIN = new_key(), new_key()
SETTINGS = """
[serve]
body_seconds = 1.0
header_seconds = 1.0
deferred_seconds = 0.05
"""
KEYED = f"""
[serve]
[serve.keys.shop]
hash = "{hashed(SHOP)}"
tenant = "shop"
[serve.keys.admin]
hash = "{hashed(ADMIN)}"
"""


@pytest.fixture
def front(tmp_path: Path, prefix: str, broker: Broker) -> Iterator[RunningFront]:
    """Without keys; queries end as their prompts say."""
    config = deploy(tmp_path, prefix, broker, SETTINGS)
    with StandIn(broker, config, by_prompt), RunningFront(config) as front:
        yield front


def said(text: str) -> list[openai.types.chat.ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def body(text: str) -> str:
    return '{"model": "auto", "messages": [{"role": "user", "content": "' + text + '"}]}'


def test_chat(front: RunningFront) -> None:
    """An answer is a completion, and its headers tell model, decision, and cost."""
    client = front.client()
    raw = client.chat.completions.with_raw_response.create(model="auto", messages=said("hello"))
    answer = raw.parse()
    assert answer.choices[0].message.content == "hello"
    assert answer.model == "small"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 5
    assert raw.headers["x-sluice-model"] == "small"
    assert raw.headers["x-sluice-cost"] == "0.0000007"
    assert raw.headers["x-sluice-decision-id"]
    names = [model.id for model in client.models.list()]
    assert names == ["auto", "small", "large"]
    assert client.models.retrieve("large").id == "large"


def test_stream(front: RunningFront) -> None:
    """A streamed answer has the same words, and its usage where that is asked for."""
    stream = front.client().chat.completions.create(
        model="small",
        messages=said("hello there"),
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    words = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(words) == "hello there"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 5


async def test_two_hundred_at_once(front: RunningFront) -> None:
    """Each of many concurrent requests gets its own answer."""
    client = front.asynchronous()
    asked = [
        client.chat.completions.create(model="auto", messages=said(f"number {i}"))
        for i in range(200)
    ]
    answers = await asyncio.gather(*asked)
    assert [a.choices[0].message.content for a in answers] == [f"number {i}" for i in range(200)]
    await client.close()


@pytest.mark.parametrize(
    ("prompt", "kind", "code"),
    [
        ("reject", openai.BadRequestError, "invalid_field"),
        ("fail", openai.BadRequestError, "invalid_request"),
        ("defer", openai.RateLimitError, "budget_exceeded"),
        ("expire", openai.RateLimitError, "budget_exceeded"),
        ("late", openai.InternalServerError, "deadline_exceeded"),
    ],
)
def test_errors(
    front: RunningFront, prompt: str, kind: type[openai.APIStatusError], code: str
) -> None:
    """OpenAI's client raises the class that it has for each error."""
    client = front.client(max_retries=0)
    with pytest.raises(kind) as caught:
        client.chat.completions.create(model="auto", messages=said(prompt))
    assert caught.value.code == code
    if kind is openai.RateLimitError:
        assert int(caught.value.response.headers["retry-after"]) >= 1


def test_unknown(front: RunningFront) -> None:
    """What is not there is a 404 in OpenAI's form."""
    with pytest.raises(openai.NotFoundError, match="gpt-9"):
        front.client().chat.completions.create(model="gpt-9", messages=said("x"))
    with pytest.raises(openai.NotFoundError):
        front.client().models.retrieve("gpt-9")
    with pytest.raises(openai.NotFoundError):
        front.client().embeddings.create(model="auto", input="x")
    wrong = httpx.delete(f"{front.url}/v1/models")
    assert wrong.status_code == 405
    assert sorted(wrong.headers["allow"].split(", ")) == ["GET", "HEAD"]


def test_a_deadline(front: RunningFront) -> None:
    """A query that nobody answers ends at its deadline."""
    answer = front.post(body("silence"), x_sluice_deadline="0.2")
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline_exceeded"


def test_repeated_requests(tmp_path: Path, prefix: str, broker: Broker) -> None:
    """A repeated request with a key gets the first answer: later, at another process, and at the
    same time."""
    config = deploy(tmp_path, prefix, broker)
    seen: set[str] = set()

    def once(query: Query, source: Source) -> Sequence[Message]:
        """As a router does: a repeated id goes nowhere."""
        if query.id in seen:
            return []
        seen.add(query.id)
        return [answered(query, source)]

    with (
        StandIn(broker, config, once),
        RunningFront(config) as one,
        RunningFront(config) as other,
    ):
        first = one.post(body("a"), idempotency_key="k")
        again = [
            one.post(body("a"), idempotency_key="k"),
            other.post(body("a"), idempotency_key="k"),
        ]
        assert first.status_code == 200
        for answer in again:
            assert answer.json()["sluice"] == first.json()["sluice"]
        answers: list[str] = []

        def ask(front: RunningFront) -> None:
            answers.append(
                front.post(body("b"), idempotency_key="m").json()["sluice"]["decision_id"]
            )

        threads = [threading.Thread(target=ask, args=(front,)) for front in (one, one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 3
        assert len(set(answers)) == 1
        assert len(seen) == 2


def test_an_answer_that_is_lost(tmp_path: Path, prefix: str, broker: Broker) -> None:
    """One that no message could carry is an error, and not an answer without words."""
    config = deploy(tmp_path, prefix, broker)
    lost = Failure(code="RESPONSE_TOO_LARGE", message="the answer makes a message of 2 MB")

    def large(query: Query, source: Source) -> Sequence[Message]:
        return [answered(query, source, response=None, error=lost)]

    with StandIn(broker, config, large), RunningFront(config) as front:
        found = front.post(body("a"))
        assert found.status_code == 502
        assert found.json()["error"]["code"] == "response_too_large"
        assert found.headers["x-should-retry"] == "false"


def told(query: Query, source: Source, first: Source) -> Result:
    """What a router says of an id that it has decided before."""
    return Result(
        id=query.id,
        decision_id=decision_id(source),
        model="none",
        status_code=409,
        cost=0,
        error=duplicate_of(decision_id(first)),
    )


def test_a_request_repeated_at_its_failure(tmp_path: Path, prefix: str, broker: Broker) -> None:
    """It is asked again, where the router had not settled the failure when it came."""
    config = deploy(tmp_path, prefix, broker)
    came: list[Source] = []

    def late(query: Query, source: Source) -> Sequence[Message]:
        came.append(source)
        if len(came) == 2:
            return [told(query, source, came[0])]
        found = answered(query, source, decision_id=decision_id(source))
        if len(came) > 2:
            return [found]
        failure = Failure(code="INVALID_REQUEST", message="no")
        return [structs.replace(found, status_code=400, response=None, error=failure)]

    with StandIn(broker, config, late), RunningFront(config) as front:
        assert front.post(body("a"), idempotency_key="k").status_code == 400
        assert front.post(body("a"), idempotency_key="k").status_code == 200
        assert len(came) == 3


def test_a_request_repeated_too_late(
    tmp_path: Path, prefix: str, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first answer is not kept any more, it is told so, and waits for nothing."""
    monkeypatch.setattr("streams.client.repeats.SLACK", -1000.0)
    config = deploy(tmp_path, prefix, broker, "[serve]\nidempotency_seconds = 0.001\n")
    came: list[Source] = []

    def once(query: Query, source: Source) -> Sequence[Message]:
        came.append(source)
        return [answered(query, source) if len(came) == 1 else told(query, source, came[0])]

    with StandIn(broker, config, once), RunningFront(config) as front:
        assert front.post(body("a"), idempotency_key="k").status_code == 200
        late = front.post(body("a"), idempotency_key="k")
        assert late.status_code == 409
        assert late.json()["error"]["code"] == "duplicate"
        assert "not kept any more" in late.json()["error"]["message"]


def test_bodies(front: RunningFront) -> None:
    """A body that is too large, or no request, gets an error, and the front goes on."""
    large = front.post(body("x" * 10_000_000))
    assert large.status_code == 413
    for wrong in (b"", b"{", b"\xff\xfe", b"[]", b"{}", b"null", b"[" * 50_000):
        assert front.post(wrong).status_code == 400
    packed = gzip.compress(body("x").encode())
    told = httpx.post(
        f"{front.url}/v1/chat/completions", content=packed, headers={"content-encoding": "gzip"}
    )
    assert told.status_code == 415
    assert "not compressed" in told.json()["error"]["message"]
    assert front.post(body("x"), path="/v1/nothing").status_code == 404
    assert front.post(body("hello")).status_code == 200


def test_keys(tmp_path: Path, prefix: str, broker: Broker) -> None:
    """With keys, nobody else is let in; a key's tenant pays."""
    config = deploy(tmp_path, prefix, broker, KEYED)
    with StandIn(broker, config) as stand_in, RunningFront(config) as front:
        for wrong in ("none", SHOP[:-1], hashed(SHOP)):
            assert front.post(body("x"), authorization=f"Bearer {wrong}").status_code == 401
        assert front.post(body("x")).status_code == 401
        with pytest.raises(openai.AuthenticationError):
            front.client("wrong").models.list()
        front.client(SHOP).chat.completions.create(model="auto", messages=said("x"))
        assert stand_in.seen[-1].tenant == "shop"
        bearer = {"authorization": f"Bearer {SHOP}", "x_sluice_tenant": "other"}
        assert front.post(body("x"), **bearer).status_code == 403
        assert front.client(SHOP).models.list().data


def test_rates(tmp_path: Path, prefix: str, broker: Broker) -> None:
    """A key that sends too many requests a second is told when to come again."""
    config = deploy(tmp_path, prefix, broker, "[serve]\nrate = 0.001\n")
    with RunningFront(config) as front:
        assert front.post(b"{}").status_code == 400
        answer = front.post(b"{}")
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 100


async def test_in_flight(tmp_path: Path, prefix: str, broker: Broker) -> None:
    """More requests than may be in flight get a 429; those in flight are answered."""
    config = deploy(tmp_path, prefix, broker, "[serve]\nin_flight = 2\n")
    held = threading.Event()

    def hold(query: Query, source: Source) -> Sequence[Message]:
        held.wait(30)
        return [answered(query, source)]

    with StandIn(broker, config, hold), RunningFront(config) as front:
        client = front.asynchronous(max_retries=0)
        tasks = [
            asyncio.create_task(client.chat.completions.create(model="auto", messages=said("x")))
            for _ in range(3)
        ]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        with pytest.raises(openai.RateLimitError, match="in flight"):
            done.pop().result()
        held.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(not isinstance(each, BaseException) for each in answers) == 2
        await client.close()
