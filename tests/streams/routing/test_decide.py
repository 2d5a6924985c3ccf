"""What must hold of the decisions on a chunk: a row for each record, and money only as held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.budget.ledger import Ledger
from router.budget.limits import LimitSet
from router.estimation.scorer import Mode, QueryScorer
from router.models.catalog import Model, ModelCatalog
from router.policies.explore import Explore
from router.policies.primal_dual import PrimalDual
from schemas import Query
from schemas.wire import decode
from streams.routing.arrivals import parse
from streams.routing.constraints import CHAT_TEMPLATE
from streams.routing.decide import (
    NEIGHBOURS,
    DecisionContext,
    Hold,
    decide,
    estimate,
    estimate_together,
)
from streams.routing.decider import Decider
from streams.state.partition import Partition
from streams.state.rows import Row
from streams.state.store import MemoryStore
from tests.support.recorded import (
    CORE,
    FLEET,
    RecordedOutbox,
    new_core,
    open_partition,
    query,
    record,
)

PLENTY = (10**6, 10**6)
NOW = 1000.0
DEAR = {"small": 1.0, "large": 1.0}
"""Prices at which no model is worth its cost."""


@dataclass(frozen=True)
class Given:
    """What a test says of a decision beside the records."""

    prices: dict[str, float] | None = None
    room: int = 100
    open: tuple[bool, bool] = (True, True)
    remembers: bool = True
    explores: float = 0.0
    core: QueryScorer = CORE


def size(data: bytes) -> int:
    """Bytes of a query's text."""
    return decode(Query, data).content().size


def partition(*shares: int) -> Partition:
    ledger = Ledger(FLEET.names, np.array(shares or PLENTY))
    return open_partition(RecordedOutbox(), MemoryStore(), ledger=ledger)


def decided(
    on: Partition, values: Sequence[bytes | None], given: Given | None = None, first: int = 0
) -> list[Row]:
    """The rows of a chunk that begins at offset `first`, in order; there must be one for each."""
    given = given or Given()
    policy = Explore(PrimalDual(FLEET), given.explores)
    policy.restore({"version": 1, "prices": given.prices or {"small": 0.0, "large": 0.0}})
    context = DecisionContext(
        Decider(
            given.core,
            policy,
            LimitSet.per_model(FLEET.names),
            np.array(given.open),
            price_version=7,
        ),
        "queries" if given.remembers else "deferred",
        NOW,
        given.room,
    )
    records = [record(first + i, value) for i, value in enumerate(values)]
    arrivals = parse(records, FLEET, given.core.embedder)
    rows = decide(estimate(given.core, arrivals), context, on)
    assert sorted(rows) == list(range(first, first + len(values)))
    return [rows[offset] for offset in sorted(rows)]


def test_a_routed_query_holds_its_bound() -> None:
    """The receipt says all it rests on, and the ledger holds exactly what it says."""
    on, data = partition(), query("a")
    on.record_settlement(4)
    on.roll(np.array([0, 500]))
    (row,) = decided(on, [data], first=9)
    receipt = row.receipt
    bound = (size(data) + CHAT_TEMPLATE) * 3 + 10 * 4
    assert (receipt.id, receipt.decision_id) == ("a", "queries/0/9")
    assert (receipt.decision, receipt.model, receipt.reason) == ("routed", "large", "best")
    assert (receipt.reserved, receipt.max_tokens, receipt.bound) == (bound, 10, "query")
    assert on.ledger.reserved.tolist() == [0, bound]
    assert (receipt.price_version, receipt.decided_at, receipt.results_offset) == (7, NOW, 5)
    assert receipt.quality["large"] > receipt.quality["small"]
    assert len(receipt.neighbours) == min(NEIGHBOURS, CORE.estimator.base.k)
    assert (row.window, row.refusal) == (500, None)


def test_a_row_says_until_when_a_worker_may_work_on_it() -> None:
    """Calls end a margin before the release, and none starts that could not end by then; of a
    short reservation the margin is a part."""
    receipt = decided(partition(), [query("a")])[0].receipt
    row = Hold(600.0, 2.0).row(receipt, 500)
    assert (row.release_at, row.end_by, row.start_by) == (NOW + 600, NOW + 598, NOW + 597)
    assert row.window == 500
    row = Hold(2.0, 60.0).row(receipt, 0)
    assert (row.release_at, row.end_by, row.start_by) == (NOW + 2, NOW + 1.5, NOW + 1)


@pytest.mark.parametrize("mode", ["max", "quantile"])
def test_a_query_that_does_not_say_gets_the_mode_s_bound(mode: Mode) -> None:
    """The model's own limit, or what its neighbours' answers cost; the receipt says which."""
    on = partition()
    (row,) = decided(on, [query("a", max_tokens=None)], Given(core=new_core(mode)))
    tokens = row.receipt.max_tokens or 0
    assert row.receipt.bound == mode
    assert tokens == 4096 if mode == "max" else 0 < tokens < 4096
    assert on.ledger.reserved[1] == row.receipt.reserved


@pytest.mark.parametrize("explores", [0.0, 1.0])
def test_a_closed_model_takes_nothing_though_it_costs_nothing(explores: float) -> None:
    """No money says so where an answer is free: what is paused or removed gets no query."""
    free = ModelCatalog([Model("small", 0, 0), Model("large", 0, 0)])
    core = QueryScorer(CORE.embedder, CORE.estimator, free)
    for is_open, model in (((True, False), "small"), ((False, True), "large")):
        rows = decided(
            partition(0, 0),
            [query(name) for name in "abcd"],
            Given(core=core, open=is_open, explores=explores),
        )
        assert {row.receipt.model for row in rows} == {model}
    (row,) = decided(partition(0, 0), [query("a")], Given(core=core, open=(False, False)))
    assert (row.receipt.decision, row.receipt.reason) == ("deferred", "no_budget")


def test_without_room_the_next_best_takes_it_and_the_wish_is_noted() -> None:
    """The controller learns how much the better model lacked, and the least that would help."""
    on = partition(10**6, 0)
    rows = decided(on, [query("a"), query("b", max_tokens=20)])
    assert [(row.receipt.model, row.receipt.reason) for row in rows] == [("small", "next_best")] * 2
    wanted, smallest = on.unmet.take()
    dear = [(size(query("a")) + CHAT_TEMPLATE) * 3 + tokens * 4 for tokens in (10, 20)]
    assert (wanted.tolist(), smallest.tolist()) == ([0, sum(dear)], [0, dear[0]])


def test_a_query_that_is_worth_no_model_asks_for_no_money() -> None:
    """Neither where it is deferred, nor where exploration sends it all the same."""
    on = partition()
    (waits,) = decided(on, [query("a")], Given(DEAR))
    (explores,) = decided(on, [query("b")], Given(DEAR, explores=1.0), first=1)
    assert (waits.receipt.decision, explores.receipt.reason) == ("deferred", "explore")
    assert not on.unmet.any()


def test_a_closed_model_takes_nothing_and_asks_for_no_money() -> None:
    """Paused or removed, its share stays unused, and the controller is told of no lack there."""
    on = partition()
    (row,) = decided(on, [query("a")], Given(open=(True, False)))
    assert row.receipt.model == "small"
    assert not on.unmet.any()
    (row,) = decided(on, [query("b")], Given(open=(False, False)), first=1)
    assert (row.receipt.decision, row.receipt.reason) == ("deferred", "no_budget")
    assert on.ledger.reserved[1] == 0


@pytest.mark.parametrize(
    ("prices", "shares", "reason"), [(DEAR, PLENTY, "not_worth"), (None, (0, 0), "no_budget")]
)
@pytest.mark.parametrize("room", [-3, 0, 2, 4, 9])
def test_as_many_are_deferred_as_may_wait(
    prices: dict[str, float] | None, shares: tuple[int, int], reason: str, room: int
) -> None:
    """In order of arrival; the others are rejected with a sentence, and nothing is held."""
    on = partition(*shares)
    rows = decided(on, [query(id) for id in "abcd"], Given(prices, room))
    deferred = [row.receipt.decision == "deferred" for row in rows]
    assert deferred == [i < room for i in range(4)]
    for row, waits in zip(rows, deferred, strict=True):
        assert (row.receipt.model, row.receipt.reserved) == (None, 0)
        if waits:
            assert (row.receipt.reason, row.refusal) == (reason, None)
        else:
            assert row.receipt.reason == "budget_exceeded"
            assert row.refusal is not None
            assert "as many wait as may" in row.refusal.reason
    assert on.ledger.reserved.tolist() == [0, 0]


def test_an_id_counts_once() -> None:
    """Sent twice in a chunk, or after it was taken, it is a duplicate; nothing is held for it."""
    on = partition()
    on.remember(["old"])
    rows = decided(on, [query("a"), query("old"), query("a"), query("b")])
    decisions = [row.receipt.decision for row in rows]
    assert decisions == ["routed", "duplicate", "duplicate", "routed"]
    assert rows[1].receipt.id == "old"
    assert (rows[1].receipt.reason, rows[1].refusal) == ("seen_before", None)
    assert on.ledger.reserved[1] == rows[0].receipt.reserved + rows[3].receipt.reserved


def test_ids_that_were_never_taken_may_come_again() -> None:
    """A query that was refused, corrected and sent again is not a duplicate of itself."""
    rows = decided(partition(), [query("a", max_tokens=0), query("a")])
    assert [row.receipt.decision for row in rows] == ["rejected", "routed"]


def test_deferred_queries_are_not_their_own_duplicates() -> None:
    """They are looked at again under ids that were taken before."""
    on = partition()
    on.remember(["a"])
    (row,) = decided(on, [query("a")], Given(remembers=False))
    assert row.receipt.decision == "routed"


@pytest.mark.parametrize(
    ("value", "code", "id"),
    [
        (b"no json", "invalid_json", "queries/0/0"),
        (None, "empty", "queries/0/0"),
        (query("a", allowed_models=["huge"]), "unknown_model", "a"),
        (query("a", deadline=NOW), "deadline_exceeded", "a"),
        (query("a", max_cost=0), "no_model_allowed", "a"),
        (query("a", prompt="?" * 130_000), "context_too_long", "a"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusal_has_a_row_and_its_neighbours_go_on(
    value: bytes | None, code: str, id: str
) -> None:
    """The row keeps code and reason; what has no id goes by its decision's; nothing is held; the
    query beside it is decided as it would be alone."""
    on, other = partition(), query("good", embedding=[0, 1])
    bad, good = decided(on, [value, other])
    assert (bad.receipt.decision, bad.receipt.reason, bad.receipt.id) == ("rejected", code, id)
    assert bad.refusal is not None
    assert (bad.refusal.code, bool(bad.refusal.reason)) == (code, True)
    assert [good] == decided(partition(), [other], first=1)
    assert good.receipt.decision == "routed"
    assert on.ledger.reserved.sum() == good.receipt.reserved


def test_a_query_goes_only_where_it_may() -> None:
    """Its own list of models, and what it may cost at most, are kept to."""
    on = partition()
    first, second = decided(on, [query("a", allowed_models=["small"]), query("b", max_cost=200)])
    assert first.receipt.model == second.receipt.model == "small"
    assert second.receipt.reserved <= 300


def test_a_chunk_without_one_good_query() -> None:
    """Refusals alone are decided, too; and an empty chunk is none."""
    assert [row.receipt.decision for row in decided(partition(), [b"x", b"y"])] == ["rejected"] * 2
    assert decided(partition(), []) == []


values = st.one_of(
    st.builds(
        query,
        st.sampled_from("abcdefgh"),
        max_tokens=st.integers(1, 200),
        deadline=st.sampled_from([None, NOW - 1, NOW + 1]),
        max_cost=st.sampled_from([None, 700, 2000]),
    ),
    st.just(b"no json"),
)


def test_chunks_estimated_together_are_as_if_alone() -> None:
    """To the last bit, with bad records, chunks of nothing good, and records decided before."""
    chunks = [
        [query("a"), b"not JSON", query("b", max_cost=700, embedding=[0.6, 0.8])],
        [b"{}"],
        [query("c", max_tokens=3)],
        [],
    ]
    parsed = [
        (
            parse([record(i, value) for i, value in enumerate(values)], FLEET, CORE.embedder),
            [before],
        )
        for values, before in zip(chunks, [record(i, b"before") for i in range(4)], strict=True)
    ]
    together = estimate_together(CORE, parsed)
    for found, (arrivals, redelivered) in zip(together, parsed, strict=True):
        alone = estimate(CORE, arrivals, redelivered)
        assert (found.arrivals, found.redelivered) == (alone.arrivals, alone.redelivered)
        assert (found.candidates is None) == (alone.candidates is None)
        if found.candidates is None or alone.candidates is None:
            continue
        assert found.candidates.arrivals == alone.candidates.arrivals
        estimated, apart = found.candidates.estimates, alone.candidates.estimates
        for name in ("quality", "cost", "upper_cost", "neighbours", "similarity"):
            np.testing.assert_array_equal(getattr(estimated, name), getattr(apart, name))
        mine, theirs = found.candidates.scored, alone.candidates.scored
        assert mine.batch.ids == theirs.batch.ids
        for name in ("quality", "cost", "bound", "allowed"):
            np.testing.assert_array_equal(getattr(mine.batch, name), getattr(theirs.batch, name))
        for name in ("tokens", "prompt_tokens", "output_tokens", "fits", "pools"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))


@given(
    chunk=st.lists(values, max_size=12),
    cut=st.integers(0, 12),
    shares=st.tuples(st.integers(0, 3000), st.integers(0, 3000)),
    prices=st.sampled_from([None, DEAR]),
)
@settings(max_examples=60)
def test_any_chunk_is_decided_within_the_shares_however_it_is_cut(
    chunk: list[bytes], cut: int, shares: tuple[int, int], prices: dict[str, float] | None
) -> None:
    """What is held is what the receipts say, never above a share; two chunks decide as one."""
    whole, parts = partition(*shares), partition(*shares)
    rows = decided(whole, chunk, Given(prices))
    held = [sum(r.receipt.reserved for r in rows if r.receipt.model == m) for m in FLEET.names]
    assert whole.ledger.reserved.tolist() == held
    assert (whole.ledger.reserved <= whole.ledger.share).all()
    first = decided(parts, chunk[:cut], Given(prices))
    taken = [row.receipt for row in first if row.receipt.decision in ("routed", "deferred")]
    parts.remember({receipt.id: receipt.source.offset for receipt in taken})
    room = replace(Given(prices), room=100 - sum(r.decision == "deferred" for r in taken))
    assert first + decided(parts, chunk[cut:], room, first=len(first)) == rows
