"""A history out of a log: answers to queries that were sent, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from router.models.catalog import Model, ModelCatalog
from schemas import Receipt, Result, Source
from schemas.wire import encode
from streams.kafka.logs import Record
from streams.kafka.topics import Topics
from streams.verify.outcomes import history_lines
from streams.verify.receipt_store import ReceiptStore

FLEET = ModelCatalog([Model("a", 0, 1_000_000), Model("b", 0, 1_000_000)])
TOPICS = Topics("shop.")


@pytest.fixture
def receipt_store() -> Iterator[ReceiptStore]:
    with ReceiptStore(TOPICS) as receipt_store:
        yield receipt_store


def record(topic: str, offset: int, value: bytes) -> Record:
    return Record(topic, 1, offset, 0, b"key", value, ())


def query(offset: int, id: str, topic: str = TOPICS.queries, **more: Any) -> Record:
    return record(topic, offset, orjson.dumps({"id": id, "prompt": f"about {id}", **more}))


def receipt(offset: int, id: str, model: str | None = "a", topic: str = TOPICS.queries) -> Record:
    told = Receipt(
        id=id,
        decision_id=f"{topic}/1/{offset}",
        decision="routed" if model else "deferred",
        reason="best",
        policy="primal-dual",
        source=Source(topic, 1, offset),
        decided_at=1.0,
        model=model,
    )
    return record(TOPICS.receipts, offset, encode(told))


def result(offset: int, id: str, topic: str = TOPICS.queries, **more: Any) -> Record:
    values: dict[str, Any] = {"model": "a", "status_code": 200, "score": 0.5, "cost": 2_000} | more
    told = Result(id=id, decision_id=f"{topic}/1/{offset}", **values)
    return record(TOPICS.results, offset, encode(told))


def test_a_judged_answer_is_a_line(receipt_store: ReceiptStore) -> None:
    """With the text that the router saw, the score, and the cost in units of currency."""
    receipt_store.fill([receipt(0, "q0")])
    found = list(history_lines(FLEET, [query(0, "q0")], [result(0, "q0")], receipt_store))
    assert found == [
        {"id": "q0", "prompt": "about q0", "scores": {"a": 0.5}, "cost_usd": {"a": 2e-6}}
    ]


def test_an_answer_that_nobody_judged(receipt_store: ReceiptStore) -> None:
    """Has no score, and still tells its cost."""
    receipt_store.fill([receipt(0, "q0")])
    (line,) = history_lines(FLEET, [query(0, "q0")], [result(0, "q0", score=None)], receipt_store)
    assert (line["scores"], line["cost_usd"]) == ({"a": None}, {"a": 2e-6})


def test_a_query_without_text(receipt_store: ReceiptStore) -> None:
    """No index could be built of a line without a prompt."""
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    receipt_store.fill([receipt(0, "q0"), receipt(1, "q1"), receipt(2, "q2")])
    asked = [
        record(
            TOPICS.queries,
            offset,
            orjson.dumps(
                {
                    "id": f"q{offset}",
                    "payload": {"messages": [{"role": "user", "content": content}]},
                }
            ),
        )
        for offset, content in enumerate(([image], "", "why?"))
    ]
    answers = [result(offset, f"q{offset}") for offset in range(3)]
    (line,) = history_lines(FLEET, asked, answers, receipt_store)
    assert (line["id"], line["prompt"]) == ("q2", "why?")


def test_a_deferred_query_counts_where_it_was_sent(receipt_store: ReceiptStore) -> None:
    """Its result names the record of `deferred`."""
    receipt_store.fill([receipt(0, "q0", None), receipt(5, "q0", "b", TOPICS.deferred)])
    records = [query(0, "q0"), query(5, "q0", TOPICS.deferred)]
    answers = [result(5, "q0", TOPICS.deferred, model="b")]
    (line,) = history_lines(FLEET, records, answers, receipt_store)
    assert line["scores"] == {"b": 0.5}


@pytest.mark.parametrize(
    "wrong",
    [
        {"status_code": 500},
        {"model": "b"},
        {"cost": 2**62},
    ],
    ids=str,
)
def test_what_does_not_count(receipt_store: ReceiptStore, wrong: dict[str, Any]) -> None:
    """What failed, is of a model that it was not sent to, or at a charge nobody takes."""
    receipt_store.fill([receipt(0, "q0")])
    assert (
        list(history_lines(FLEET, [query(0, "q0")], [result(0, "q0", **wrong)], receipt_store))
        == []
    )


def test_each_query_once(receipt_store: ReceiptStore) -> None:
    """The first result counts, as it was the one charged; so does the first query of an id."""
    receipt_store.fill([receipt(0, "q0"), receipt(1, "q0")])
    answers = [result(0, "q0", score=1.0), result(0, "q0", score=0.0), result(1, "q0", score=0.25)]
    (line,) = history_lines(FLEET, [query(0, "q0"), query(1, "q0")], answers, receipt_store)
    assert line["scores"] == {"a": 1.0}


def test_strangers(receipt_store: ReceiptStore) -> None:
    """Results that no receipt knows, and bytes that are none, are passed over."""
    receipt_store.fill([receipt(0, "q0")])
    answers = [
        record(TOPICS.results, 0, b"no json"),
        result(7, "q7"),
        result(0, "q0", topic="elsewhere"),
    ]
    assert list(history_lines(FLEET, [query(0, "q0")], answers, receipt_store)) == []
