"""What must hold of arrivals: whatever a record holds, it becomes a query or a refusal in words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.estimation.embedders.given import GivenEmbedder
from router.models.catalog import Model, ModelCatalog
from schemas import Invalid
from streams.routing.arrivals import DECISION_ID, Arrival, expire, mark_repeated, parse
from streams.state.rows import Log

FLEET = ModelCatalog([Model("small", 1, 1, 100, 1000), Model("large", 2, 2, 100, 1000)])
GIVEN = GivenEmbedder(4)


def record(value: bytes | None, offset: int = 7) -> Any:
    return SimpleNamespace(topic="queries", partition=2, offset=offset, value=value, headers=[])


def arrive(embedder: Any = GIVEN, **fields: Any) -> Arrival:
    query = {"id": "a", "prompt": "hello", "embedding": [1, 0, 0, 0], **fields}
    data = orjson.dumps({name: value for name, value in query.items() if value is not None})
    (arrival,) = parse([record(data)], FLEET, embedder)
    return arrival


def refusal(arrival: Arrival) -> Invalid:
    assert arrival.query is None
    assert arrival.refusal is not None
    return arrival.refusal


def test_a_good_query_arrives() -> None:
    """It has its query, no refusal, and its record's coordinates for a decision id."""
    arrival = arrive()
    assert arrival.query is not None
    assert arrival.refusal is None
    assert (arrival.id, arrival.decision_id) == ("a", "queries/2/7")


@given(st.binary(max_size=200) | st.none())
def test_any_bytes_become_a_refusal(value: bytes | None) -> None:
    """No record raises; what is no query says why."""
    (arrival,) = parse([record(value)], FLEET, GIVEN)
    assert (arrival.query is None) == (arrival.refusal is not None)


def test_a_refused_query_keeps_its_id_where_it_can_be_read() -> None:
    """So that its rejection can be found by id."""
    arrival = arrive(max_tokens=0)
    assert refusal(arrival).field == "max_tokens"
    assert arrival.id == "a"


def test_an_unknown_model_is_named_with_those_that_there_are() -> None:
    """A person sees what to write instead."""
    error = refusal(arrive(allowed_models=["small", "huge"]))
    assert error.code == "unknown_model"
    assert "'huge'" in error.reason
    assert "small, large" in error.reason


@pytest.mark.parametrize("embedding", [[1.0], [1.0] * 5])
def test_an_embedding_of_another_dimension_is_refused(embedding: list[float]) -> None:
    """Whichever embedder is configured: it could not be searched."""
    for embedder in (GIVEN, computing()):
        error = refusal(arrive(embedder, embedding=embedding))
        assert (error.code, error.field) == ("invalid_embedding", "embedding")


def test_an_embedding_is_required_only_where_none_is_computed() -> None:
    """Embedder `given` has nothing to go by without it; others compute."""
    assert refusal(arrive(embedding=None)).code == "invalid_embedding"
    assert arrive(computing(), embedding=None).refusal is None


def computing() -> Any:
    """An embedder that makes vectors itself."""
    return SimpleNamespace(dimension=4, name="computing")


def test_expired_queries_are_refused_and_no_others() -> None:
    """At its deadline a query is late; before it, it is not."""
    late, in_time, free = arrive(deadline=100.0), arrive(deadline=100.5), arrive()
    expire([late, in_time, free], now=100.0)
    assert late.refusal is not None
    assert late.refusal.code == "deadline_exceeded"
    assert in_time.refusal is None
    assert free.refusal is None


def deferred(decision_id: str, offset: int) -> Arrival:
    """A query in `deferred`, put there by a decision."""
    found = record(b'{"id":"a","prompt":"x","embedding":[1,0,0,0]}', offset)
    found.topic, found.headers = "deferred", [(DECISION_ID, decision_id.encode())]
    (arrival,) = parse([found], FLEET, GIVEN)
    return arrival


def test_what_was_deferred_twice_is_looked_at_once() -> None:
    """A kill before it is noted that a chunk has left makes it leave again: the copies are marked,
    in the same chunk or a later one, and what each log defers is told apart."""
    retried: dict[Log, int] = {"queries": -1, "deferred": -1}
    sources = ["queries/2/5", "queries/2/6", "deferred/2/0", "queries/2/5", "queries/2/6"]
    chunk = [deferred(source, offset) for offset, source in enumerate(sources)]
    retried = mark_repeated(chunk, retried)
    assert [each.duplicate for each in chunk] == [False, False, False, True, True]
    later = [deferred("queries/2/6", 5), deferred("queries/2/7", 6), deferred("deferred/2/0", 7)]
    retried = mark_repeated(later, retried)
    assert [each.duplicate for each in later] == [True, False, True]
    assert retried == {"queries": 7, "deferred": 0}


def test_what_somebody_else_put_into_deferred_is_no_repetition() -> None:
    """Without the header of a decision there is nothing to compare."""
    retried: dict[Log, int] = {"queries": 9, "deferred": 9}
    arrival = deferred("no coordinates", 0)
    mark_repeated([arrival], retried)
    assert not arrival.duplicate
