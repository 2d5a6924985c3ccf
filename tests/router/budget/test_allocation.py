"""What must hold of where shares go: to those who need them, all of them, and with few grants."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.budget.allocation import PartitionDemand, allocate
from router.budget.ledger import Ledger
from router.budget.shares import ShareAllocator, apply_grant
from schemas import Invalid, ShareGrant, ShareReport, ShareUse
from tests.support.share_routers import NAMES, Router


def fair_round(allocator: ShareAllocator, routers: Sequence[Router]) -> int:
    """Everything arrives. Returns the number of grants."""
    for router in routers:
        router.commit()
        allocator.observe(router.report())
    grants = allocator.plan(0.5)
    for grant in grants:
        routers[grant.partition].apply(grant)
    return len(grants)


@given(
    partitions=st.integers(1, 8),
    limit=st.integers(1, 10**12),
    queries=st.integers(1, 30),
    rest=st.integers(0, 10**6),
    wanting=st.sets(st.integers(0, 7), min_size=1),
)
@settings(max_examples=60)
def test_all_money_can_be_used_where_it_is_wanted(
    partitions: int, limit: int, queries: int, rest: int, wanting: set[int]
) -> None:
    """To the last query that the limit pays for, whoever asks; then no grant moves any more."""
    amount = max(limit // queries, 1)
    limit = amount * queries + min(rest, amount - 1)
    routers = [Router(number) for number in range(partitions)]
    allocator = ShareAllocator(partitions, {"cheap": limit})
    busy = [routers[number] for number in range(partitions) if number in wanting] or routers[:1]
    taken = 0
    for _ in range(20 * partitions + 3 * queries):
        fair_round(allocator, routers)
        for router in busy:
            while router.take(0, amount):
                taken += 1
    assert taken == queries
    assert fair_round(allocator, routers) == 0


@pytest.mark.parametrize("partitions", [1, 6])
def test_skewed_traffic_is_served_as_if_there_were_one_partition(partitions: int) -> None:
    """90 % of queries on one partition: 98 % of the budget is spent before a query is refused."""
    draw = random.Random(7)
    routers = [Router(number) for number in range(partitions)]
    limit, refused_at = 1_000_000, None
    allocator = ShareAllocator(partitions, {"cheap": limit})
    fair_round(allocator, routers)
    for _ in range(220):
        for _ in range(50):
            busy = draw.random() < 0.9 or partitions == 1
            router = routers[0 if busy else draw.randrange(1, partitions)]
            if router.take(0, draw.randint(100, 300)):
                router.settle(len(router.open) - 1, draw.randint(50, 150))
            elif refused_at is None:
                refused_at = sum(int(other.ledger.spent[0]) for other in routers)
        fair_round(allocator, routers)
    assert refused_at is not None
    assert refused_at >= 0.98 * limit


def test_steady_traffic_needs_few_grants() -> None:
    """Where demand stays, shares stay: fewer than one grant in five reports."""
    draw = random.Random(7)
    routers = [Router(number) for number in range(6)]
    allocator = ShareAllocator(6, {"cheap": 10**7})
    grants = 0
    for _ in range(200):
        for _ in range(100):
            router = routers[min(int(draw.expovariate(0.5)), 5)]
            if router.take(0, draw.randint(100, 800)):
                router.settle(len(router.open) - 1, draw.randint(50, 100))
        grants += fair_round(allocator, routers)
    assert grants < 200 * 6 / 5


def test_an_idle_partition_can_serve_at_once() -> None:
    """While a third of the budget is left, each partition without traffic holds some of it."""
    routers = [Router(number) for number in range(4)]
    allocator = ShareAllocator(4, {"cheap": 1_000_000})
    spent = 0
    while spent < 666_000:
        fair_round(allocator, routers)
        for _ in range(50):
            if routers[0].take(0, 100):
                spent += 100
        idle = [int(router.ledger.free()[0]) for router in routers[1:]]
        assert min(idle) >= 5_000


def consistent(demand: PartitionDemand) -> PartitionDemand:
    """Make sense of a demand: what may be owned is never below what is known to be."""
    least = max(demand.bound, demand.share, demand.pending or 0, demand.drawn)
    return replace(demand, bound=least)


demands = st.lists(
    st.builds(
        PartitionDemand,
        share=st.integers(0, 1000),
        bound=st.integers(0, 1000),
        pending=st.none() | st.integers(0, 1000),
        reported=st.booleans(),
        used=st.integers(0, 1000),
        carried=st.integers(0, 100),
        smallest=st.integers(0, 300),
        weight=st.floats(0, 1e12),
    ).map(consistent),
    max_size=6,
)


@given(limit=st.integers(0, 5000), demands=demands, turn=st.integers(0, 10))
@settings(max_examples=300)
def test_what_is_given_was_free(limit: int, demands: list[PartitionDemand], turn: int) -> None:
    """Growth fits into what no partition may own, and nobody with a grant under way gets one."""
    shares = allocate(limit, demands, turn)
    growth = sum(max(share - demands[i].share, 0) for i, share in shares.items())
    assert growth <= max(limit - sum(demand.bound for demand in demands), 0)
    for i, share in shares.items():
        assert share != demands[i].share
        assert share >= demands[i].drawn or share > demands[i].share
        assert demands[i].reported
        assert demands[i].pending is None


def started(partitions: int = 2, **limits: int) -> tuple[ShareAllocator, list[Router]]:
    """Two routers whose shares are out and confirmed."""
    routers = [Router(number) for number in range(partitions)]
    allocator = ShareAllocator(partitions, limits or {"cheap": 100})
    fair_round(allocator, routers)
    assert fair_round(allocator, routers) == 0
    return allocator, routers


def test_a_lowered_limit_stops_the_model_and_takes_back_what_is_left() -> None:
    """Below what is spent, every share is what was drawn of it: nothing is free, nothing < 0."""
    allocator, routers = started()
    assert routers[0].take(0, 30)
    allocator.limits["cheap"] = 20
    fair_round(allocator, routers)
    fair_round(allocator, routers)
    assert [router.ledger.share[0] for router in routers] == [30, 0]
    assert allocator.granted("cheap") == 30
    assert allocator.remaining() == {"cheap": 0}
    allocator.limits["cheap"] = 100
    fair_round(allocator, routers)
    assert sum(int(router.ledger.free()[0]) for router in routers) == 70


def test_a_model_can_be_added_and_taken_out() -> None:
    """Its money comes with its limit, and shrinks to what was drawn without it."""
    allocator, routers = started()
    allocator.limits["good"] = 50
    fair_round(allocator, routers)
    assert [router.ledger.share[1] for router in routers] == [25, 25]
    assert routers[1].take(1, 5)
    del allocator.limits["good"]
    fair_round(allocator, routers)
    fair_round(allocator, routers)
    assert [router.ledger.share[1] for router in routers] == [0, 5]
    assert allocator.accounts() == ["cheap", "good"]


def test_nothing_is_granted_before_every_partition_has_reported() -> None:
    """A controller that lost its row does not know what others own."""
    _, routers = started()
    again = ShareAllocator(2, {"cheap": 1000})
    again.observe(routers[0].report())
    assert again.plan(1.0) == []
    again.observe(routers[1].report())
    assert again.granted("cheap") == 100
    assert [grant.sequence for grant in again.plan(1.0)] == [2, 2]


def test_a_lost_grant_leaves_again_unchanged() -> None:
    """Whenever a report shows that it was not applied, and no longer."""
    routers = [Router(number) for number in range(2)]
    allocator = ShareAllocator(2, {"cheap": 100})
    for router in routers:
        allocator.observe(router.report())
    lost = allocator.plan(1.0)
    assert allocator.plan(1.0) == []
    allocator.observe(routers[1].report())
    assert allocator.plan(1.0) == [lost[1]]
    routers[1].apply(lost[1])
    routers[1].commit()
    allocator.observe(routers[1].report())
    assert allocator.plan(1.0) == []


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"partition": 2}, "partition", "there are 2 partitions"),
        ({"granted": 9}, "granted", "the last grant to this partition is 1"),
        ({"share": 51}, "models.cheap.share", "at most 50 was granted"),
        ({"window": 9}, "models.cheap.window", "has not begun"),
    ],
)
def test_what_cannot_be_true_is_refused(change: dict[str, int], field: str, words: str) -> None:
    """The error names the field; the accounts are as before."""
    allocator, _ = started()
    before = json.dumps(allocator.snapshot())
    said = {"partition": 0, "granted": 1, "share": 50, "window": 0} | change
    use = ShareUse(share=said["share"], window=said["window"], reserved=0, spent=0)
    report = ShareReport(
        partition=said["partition"],
        granted=said["granted"],
        sequence=99,
        arrivals=0,
        models={"cheap": use},
    )
    with pytest.raises(Invalid, match=words) as caught:
        allocator.observe(report)
    assert caught.value.field == field
    assert json.dumps(allocator.snapshot()) == before


def test_partitions_cannot_be_taken_away() -> None:
    """A row of more partitions than there are belongs to another deployment."""
    allocator, _ = started(3)
    with pytest.raises(ValueError, match="3 partitions, the topic has 2"):
        ShareAllocator(2).restore(allocator.snapshot())


def test_a_grant_is_applied_once_and_never_below_what_is_drawn() -> None:
    """Older sequences, unknown accounts and amounts in use stay out of it."""
    ledger = Ledger(NAMES, np.array([100, 100]))
    ledger.reserve(np.array([0]), np.array([60]))

    def grant(sequence: int, **models: Any) -> ShareGrant:
        return ShareGrant(partition=0, sequence=sequence, models=models)

    assert apply_grant(ledger, 4, grant(4, cheap=500)) == 4
    assert ledger.share.tolist() == [100, 100]
    assert apply_grant(ledger, 4, grant(5, cheap=10, other=7)) == 5
    assert ledger.share.tolist() == [60, 100]
    assert apply_grant(ledger, 5, grant(9, good=0)) == 9
    assert ledger.share.tolist() == [60, 0]


def test_a_grant_takes_its_partition_into_the_window_it_names() -> None:
    """So that money freed there cannot be spent in an earlier window."""
    ledger = Ledger(NAMES, np.array([100, 100]))
    ledger.reserve(np.array([1]), np.array([60]))
    grant = ShareGrant(partition=0, sequence=1, models={"good": 10}, windows={"good": 3600})
    apply_grant(ledger, 0, grant)
    account = ledger.accounts()["good"]
    assert (account.share, account.reserved, account.window) == (10, 0, 3600)
    assert account.past == {0: (60, 0)}
