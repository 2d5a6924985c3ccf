"""The client: each query ends as the log says, for whoever waits for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec import structs

from schemas import Query, Source
from streams.brokers.embedded import EmbeddedBroker
from streams.client.answers import Answer
from streams.client.asynchronous import AsyncClient
from streams.client.errors import (
    BudgetExceeded,
    ClientError,
    DeadlineExceeded,
    ModelFailed,
    QueryError,
    QueryRejected,
)
from streams.config.settings import Config
from tests.support.front import deploy
from tests.support.stand_in import Message, StandIn, answered, decided, failed, rejected


def by_prompt(query: Query, source: Source) -> Sequence[Message]:
    """What the prompt asks for becomes of the query."""
    match query.text():
        case "reject":
            return [rejected(query, source, "invalid_field", "max_cost: no", "max_cost")]
        case "fail":
            return [failed(query, source, 400, "INVALID_REQUEST", "too hot")]
        case "late":
            return [failed(query, source, 504, "DEADLINE_EXCEEDED", "no time")]
        case "defer":
            return [decided(query, source, "deferred", "no_budget")]
        case "expire":
            waiting = Source(source.topic.replace("queries", "deferred"), source.partition, 0)
            return [rejected(query, waiting, "deadline_exceeded", "it passed", "deadline")]
        case "later":
            routed = decided(query, source, "routed", "best")
            return [decided(query, source, "deferred", "no_budget"), routed]
        case "elsewhere" | "nowhere" as prompt:
            first = failed(query, source, 503, "INFERENCE_ERROR", "no power")
            word = answered if prompt == "elsewhere" else failed
            rest = () if prompt == "elsewhere" else (502, "INFERENCE_ERROR", "no water")
            second = structs.replace(word(query, source, *rest), decision_id="second")
            return [first, first, second]
        case "silence":
            return []
        case "twice":
            again = answered(query, source, cost=77)
            return [answered(query, source), again]
    return [answered(query, source)]


async def test_an_answer(deployed: Config, embedded_broker: EmbeddedBroker) -> None:
    """An answer carries its model, its words, and what it was charged: 3 x 0.1 + 2 x 0.2 USD per
    million tokens are 700 nano-units. The first of two results counts."""
    with StandIn(embedded_broker, deployed, by_prompt) as stand_in:
        async with AsyncClient(deployed) as client:
            answer = await client.ask("hello", tenant="shop", metadata={"a": 1})
            assert (answer.text, answer.model, answer.cost) == ("hello", "small", 700)
            assert answer.decision_id
            body = {"messages": [{"role": "user", "content": "twice"}]}
            assert (await client.ask(body)).cost == 700
        assert stand_in.seen[0].tenant == "shop"
        assert stand_in.seen[1].payload == body


@pytest.mark.parametrize(
    ("prompt", "kind", "code"),
    [
        ("reject", QueryRejected, "invalid_field"),
        ("fail", ModelFailed, "INVALID_REQUEST"),
        ("late", DeadlineExceeded, "deadline_exceeded"),
        ("expire", BudgetExceeded, "budget_exceeded"),
    ],
)
async def test_errors(
    deployed: Config,
    embedded_broker: EmbeddedBroker,
    prompt: str,
    kind: type[QueryError],
    code: str,
) -> None:
    """Each way to end without an answer has its own class."""
    with StandIn(embedded_broker, deployed, by_prompt):
        async with AsyncClient(deployed) as client:
            with pytest.raises(kind) as caught:
                await client.ask(prompt)
    assert caught.value.code == code


async def test_a_query_that_goes_to_another_model(
    tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker
) -> None:
    """Under failover the failure of the first model ends nothing; that of the last one does."""
    config = deploy(tmp_path, prefix, embedded_broker, "\n[failover]\nattempts = 1\n")
    with StandIn(embedded_broker, config, by_prompt):
        async with AsyncClient(config) as client:
            assert (await client.ask("elsewhere")).decision_id == "second"
            with pytest.raises(ModelFailed, match="no water"):
                await client.ask("nowhere")
            with pytest.raises(ModelFailed, match="too hot"):
                await client.ask("fail")


async def test_what_is_not_sent(deployed: Config, embedded_broker: EmbeddedBroker) -> None:
    """A query that breaks a rule is refused before it leaves, with its field."""
    async with AsyncClient(deployed) as client:
        with pytest.raises(QueryRejected) as caught:
            await client.submit({"messages": [{"role": 1, "content": "x"}]})
        assert caught.value.field == "payload.messages[0].role"
        with pytest.raises(QueryRejected, match="colour"):
            await client.submit("x", colour="red")


async def test_waiting_ends(deployed: Config, embedded_broker: EmbeddedBroker) -> None:
    """Without an ending, a wait ends at the deadline; that of a deferred query with patience
    before, unless it is routed meanwhile."""
    with StandIn(embedded_broker, deployed, by_prompt):
        async with AsyncClient(deployed) as client:
            soon = time.time() + 0.2
            with pytest.raises(DeadlineExceeded):
                await client.ask("silence", deadline=soon)
            with pytest.raises(BudgetExceeded):
                await client.ask("defer", deadline=time.time() + 3600, patience=0.01)
            with pytest.raises(BudgetExceeded):
                await client.ask("defer", deadline=time.time() + 1)
            with pytest.raises(DeadlineExceeded):
                await client.ask("later", deadline=time.time() + 1, patience=0.3)


async def test_many(deployed: Config, embedded_broker: EmbeddedBroker) -> None:
    """Many queries end as each should, also where two clients wait at the same time."""
    with StandIn(embedded_broker, deployed, by_prompt):
        async with AsyncClient(deployed) as one, AsyncClient(deployed) as other:
            questions = [*(f"number {i}" for i in range(100)), "fail"]
            texts, errors = set(), []
            async for ending in one.ask_all(questions, in_flight=30):
                if isinstance(ending, Answer):
                    texts.add(ending.text)
                else:
                    errors.append(ending)
            assert texts == {f"number {i}" for i in range(100)}
            assert [type(error) for error in errors] == [ModelFailed]
            assert (await other.ask("hello")).text == "hello"


async def test_kept(deployed: Config, embedded_broker: EmbeddedBroker) -> None:
    """A client is told of endings that it is interested in, whoever has asked."""
    kept: dict[str, object] = {}
    with StandIn(embedded_broker, deployed, by_prompt):
        other = AsyncClient(deployed, kept=lambda key: key.startswith(b"k"), keep=kept.__setitem__)
        async with AsyncClient(deployed) as one, other:
            await one.ask("a", id="k1")
            await one.ask("b", id="x1")
            await one.ask("c", id="k2")
            await other.ask("d")
    assert set(kept) == {"k1", "k2"}


async def test_without_topics(
    deployed: Config, embedded_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment whose topics are missing says so at once."""
    monkeypatch.setattr("streams.client.asynchronous.Topics.__init__", _elsewhere)
    with pytest.raises(ClientError, match="sluice topics create"):
        async with AsyncClient(deployed):
            pass


def _elsewhere(self: object, prefix: str) -> None:
    for name in ("queries", "results", "rejected", "receipts", "control"):
        setattr(self, name, f"nowhere.{name}")
