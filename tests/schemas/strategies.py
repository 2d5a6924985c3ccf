"""Hypothesis strategies for every message, built by hand where a rule spans fields."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from schemas import (
    BudgetControl,
    Failure,
    Message,
    ModelControl,
    Prices,
    Query,
    Receipt,
    Rejected,
    Result,
    Routed,
    ShareGrant,
    ShareReport,
    ShareUse,
    Source,
    Usage,
)
from schemas.control import ModelServer
from schemas.fields import INT64

# Text that UTF-8 can carry, without control characters.
plain = st.characters(exclude_categories=["Cs", "Cc"])
names = st.text(plain, min_size=1, max_size=20)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
counts = st.integers(0, INT64)
finite = st.floats(allow_nan=False, allow_infinity=False)
times = st.floats(1, 1e11)
scores = st.floats(0, 1)
tokens = st.integers(1, 10_000_000)
partitions = st.integers(0, 2**31 - 1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | anything,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=8,
)
metadata = st.dictionaries(
    anything, anything | st.integers(-INT64, INT64) | finite | st.booleans(), max_size=3
)
sources = st.builds(Source, topic=names, partition=partitions, offset=counts)
parts = st.lists(
    st.fixed_dictionaries({"type": st.just("text"), "text": texts}), min_size=1, max_size=3
)
messages = st.fixed_dictionaries({"role": names, "content": texts | parts})
payloads = st.fixed_dictionaries(
    {"messages": st.lists(messages, min_size=1, max_size=3)},
    optional={"model": names, "max_tokens": tokens | st.none(), "tools": json_values},
)


def maybe(strategy: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """The strategy's values, or None."""
    return st.none() | strategy


def with_text(kind: type[Message], **fields: SearchStrategy[Any]) -> SearchStrategy[Message]:
    """Messages that carry either a payload or a prompt."""
    return st.builds(kind, payload=payloads, **fields) | st.builds(kind, prompt=texts, **fields)


queries = with_text(
    Query,
    id=names,
    max_tokens=maybe(tokens),
    deadline=maybe(times),
    created=maybe(times),
    tenant=maybe(names),
    allowed_models=maybe(st.lists(names, min_size=1, max_size=4)),
    max_cost=maybe(counts),
    embedding=maybe(st.lists(st.floats(0.1, 1e9), min_size=1, max_size=8)),
    metadata=maybe(metadata),
    custom_id=maybe(names),
)
routed = with_text(
    Routed,
    id=names,
    decision_id=names,
    model=names,
    max_tokens=tokens,
    reserved=counts,
    policy=names,
    source=sources,
    price_version=counts,
    deadline=maybe(times),
    start_by=maybe(times),
    release_at=maybe(times),
    tenant=maybe(names),
    metadata=maybe(metadata),
    custom_id=maybe(names),
)
results = st.builds(
    Result,
    id=names,
    decision_id=names,
    model=names,
    status_code=st.integers(100, 599),
    usage=maybe(st.builds(Usage, prompt_tokens=counts, completion_tokens=counts)),
    cost=maybe(counts),
    estimated=st.booleans(),
    score=maybe(scores),
    response=json_values,
    error=maybe(st.builds(Failure, code=anything, message=anything)),
    duration=maybe(st.floats(0, 1e9)),
    attempts=st.integers(1, 9),
)
receipts = st.builds(
    Receipt,
    id=names,
    decision_id=names,
    decision=st.sampled_from(["routed", "deferred", "rejected", "duplicate"]),
    reason=anything,
    policy=names,
    source=sources,
    decided_at=times,
    model=maybe(names),
    price_version=counts,
    quality=st.dictionaries(names, finite, max_size=3),
    cost=st.dictionaries(names, counts, max_size=3),
    reserved=counts,
    bound=maybe(st.sampled_from(["query", "max", "quantile"])),
    max_tokens=maybe(tokens),
    neighbours=st.lists(names, max_size=3),
    propensity=scores,
    results_offset=counts,
)
rejected = st.builds(
    Rejected,
    code=st.sampled_from(["invalid_json", "deadline_exceeded", "not_in_flight"]),
    reason=anything,
    source=sources,
    id=maybe(names),
    field=maybe(anything),
    original_base64=st.just("e30="),
)
model_servers = st.builds(
    ModelServer,
    name=maybe(names),
    base_url=st.sampled_from([None, "https://example.invalid/v1"]),
    api_key_env=maybe(names),
    timeout=st.floats(0.1, 1e6),
    concurrency=st.integers(1, 100),
    extra_body=st.dictionaries(anything, json_values, max_size=2),
    extra_headers=st.dictionaries(names, anything, max_size=2),
)
model_controls = st.builds(
    ModelControl,
    name=names,
    action=st.sampled_from(["add", "remove", "pause", "resume"]),
    input_price=st.integers(0, 10**12),
    output_price=st.integers(0, 10**12),
    max_output_tokens=st.integers(1, 1_000_000),
    context=st.integers(1, 1_000_000),
    limit=counts,
    window=st.sampled_from(["none", "hour", "day", "month"]),
    start=maybe(times),
    time_zone=st.sampled_from(["UTC", "Europe/Berlin"]),
    carry_over=st.booleans(),
    retry_uncertain=st.integers(0, 10),
    server=maybe(model_servers),
)
budget_controls = st.builds(
    BudgetControl,
    model=names,
    limit=counts,
    window=st.sampled_from(["none", "hour", "day", "month"]),
    tenant=maybe(names),
    start=maybe(times),
)
prices = st.builds(
    Prices,
    policy=names,
    version=counts,
    state=st.dictionaries(anything, json_values, max_size=3),
    solved_at=times,
    expected=st.floats(0, 1e12),
    remaining=st.dictionaries(names, st.integers(-INT64, INT64), max_size=3),
)
uses = st.builds(
    ShareUse,
    share=counts,
    reserved=counts,
    spent=counts,
    wanted=counts,
    smallest=counts,
    window=counts,
    carried=counts,
)
row = st.lists(finite, min_size=2, max_size=2)
reports = st.builds(
    ShareReport,
    partition=partitions,
    sequence=counts,
    arrivals=counts,
    models=st.dictionaries(names, uses, max_size=3),
    granted=counts,
    columns=st.just(["a", "b"]),
    quality=st.lists(row, min_size=2, max_size=2),
    cost=st.lists(row, min_size=2, max_size=2),
)
grants = st.builds(
    ShareGrant,
    partition=partitions,
    sequence=counts,
    models=st.dictionaries(names, counts, max_size=3),
    windows=st.dictionaries(names, counts, max_size=3),
)

BY_KIND: dict[type[Message], SearchStrategy[Any]] = {
    Query: queries,
    Routed: routed,
    Result: results,
    Receipt: receipts,
    Rejected: rejected,
    ModelControl: model_controls,
    BudgetControl: budget_controls,
    Prices: prices,
    ShareReport: reports,
    ShareGrant: grants,
}
