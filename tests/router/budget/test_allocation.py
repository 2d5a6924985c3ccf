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

from router.budget.allocation import Claim, divide
from router.budget.ledger import Ledger
from router.budget.shares import ShareAllocator, apply_grant
from schemas import Invalid, ShareGrant, ShareReport, ShareUse
from tests.support.share_routers import NAMES, Router


def fair_round(allotment: ShareAllocator, routers: Sequence[Router]) -> int:
    """Everything arrives. Returns the number of grants."""
    for router in routers:
        router.commit()
        allotment.observe(router.report())
    grants = allotment.plan(0.5)
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
    allotment = ShareAllocator(partitions, {"cheap": limit})
    busy = [routers[number] for number in range(partitions) if number in wanting] or routers[:1]
    taken = 0
    for _ in range(20 * partitions + 3 * queries):
        fair_round(allotment, routers)
        for router in busy:
            while router.take(0, amount):
                taken += 1
    assert taken == queries
    assert fair_round(allotment, routers) == 0


@pytest.mark.parametrize("partitions", [1, 6])
def test_skewed_traffic_is_served_as_if_there_were_one_partition(partitions: int) -> None:
    """90 % of queries on one partition: 98 % of the budget is spent before a query is refused."""
    draw = random.Random(7)
    routers = [Router(number) for number in range(partitions)]
    limit, refused_at = 1_000_000, None
    allotment = ShareAllocator(partitions, {"cheap": limit})
    fair_round(allotment, routers)
    for _ in range(220):
        for _ in range(50):
            busy = draw.random() < 0.9 or partitions == 1
            router = routers[0 if busy else draw.randrange(1, partitions)]
            if router.take(0, draw.randint(100, 300)):
                router.settle(len(router.open) - 1, draw.randint(50, 150))
            elif refused_at is None:
                refused_at = sum(int(other.ledger.spent[0]) for other in routers)
        fair_round(allotment, routers)
    assert refused_at is not None
    assert refused_at >= 0.98 * limit


def test_steady_traffic_needs_few_grants() -> None:
    """Where demand stays, shares stay: fewer than one grant in five reports."""
    draw = random.Random(7)
    routers = [Router(number) for number in range(6)]
    allotment = ShareAllocator(6, {"cheap": 10**7})
    grants = 0
    for _ in range(200):
        for _ in range(100):
            router = routers[min(int(draw.expovariate(0.5)), 5)]
            if router.take(0, draw.randint(100, 800)):
                router.settle(len(router.open) - 1, draw.randint(50, 100))
        grants += fair_round(allotment, routers)
    assert grants < 200 * 6 / 5


def test_an_idle_partition_can_serve_at_once() -> None:
    """While a third of the budget is left, each partition without traffic holds some of it."""
    routers = [Router(number) for number in range(4)]
    allotment = ShareAllocator(4, {"cheap": 1_000_000})
    spent = 0
    while spent < 666_000:
        fair_round(allotment, routers)
        for _ in range(50):
            if routers[0].take(0, 100):
                spent += 100
        idle = [int(router.ledger.free()[0]) for router in routers[1:]]
        assert min(idle) >= 5_000


def a_claim(claim: Claim) -> Claim:
    """Make sense of a claim: what may be owned is never below what is known to be."""
    least = max(claim.bound, claim.share, claim.coming or 0, claim.drawn)
    return replace(claim, bound=least)


claims = st.lists(
    st.builds(
        Claim,
        share=st.integers(0, 1000),
        bound=st.integers(0, 1000),
        coming=st.none() | st.integers(0, 1000),
        heard=st.booleans(),
        used=st.integers(0, 1000),
        carried=st.integers(0, 100),
        smallest=st.integers(0, 300),
        demand=st.floats(0, 1e12),
    ).map(a_claim),
    max_size=6,
)


@given(limit=st.integers(0, 5000), claims=claims, turn=st.integers(0, 10))
@settings(max_examples=300)
def test_what_is_given_was_free(limit: int, claims: list[Claim], turn: int) -> None:
    """Growth fits into what no partition may own, and nobody with a grant under way gets one."""
    shares = divide(limit, claims, turn)
    growth = sum(max(share - claims[i].share, 0) for i, share in shares.items())
    assert growth <= max(limit - sum(claim.bound for claim in claims), 0)
    for i, share in shares.items():
        assert share != claims[i].share
        assert share >= claims[i].drawn or share > claims[i].share
        assert claims[i].heard
        assert claims[i].coming is None


def started(partitions: int = 2, **limits: int) -> tuple[ShareAllocator, list[Router]]:
    """Two routers whose shares are out and confirmed."""
    routers = [Router(number) for number in range(partitions)]
    allotment = ShareAllocator(partitions, limits or {"cheap": 100})
    fair_round(allotment, routers)
    assert fair_round(allotment, routers) == 0
    return allotment, routers


def test_a_lowered_limit_stops_the_model_and_takes_back_what_is_left() -> None:
    """Below what is spent, every share is what was drawn of it: nothing is free, nothing < 0."""
    allotment, routers = started()
    assert routers[0].take(0, 30)
    allotment.limits["cheap"] = 20
    fair_round(allotment, routers)
    fair_round(allotment, routers)
    assert [router.ledger.share[0] for router in routers] == [30, 0]
    assert allotment.granted("cheap") == 30
    assert allotment.remaining() == {"cheap": 0}
    allotment.limits["cheap"] = 100
    fair_round(allotment, routers)
    assert sum(int(router.ledger.free()[0]) for router in routers) == 70


def test_a_model_can_be_added_and_taken_out() -> None:
    """Its money comes with its limit, and shrinks to what was drawn without it."""
    allotment, routers = started()
    allotment.limits["good"] = 50
    fair_round(allotment, routers)
    assert [router.ledger.share[1] for router in routers] == [25, 25]
    assert routers[1].take(1, 5)
    del allotment.limits["good"]
    fair_round(allotment, routers)
    fair_round(allotment, routers)
    assert [router.ledger.share[1] for router in routers] == [0, 5]
    assert allotment.accounts() == ["cheap", "good"]


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
    allotment = ShareAllocator(2, {"cheap": 100})
    for router in routers:
        allotment.observe(router.report())
    lost = allotment.plan(1.0)
    assert allotment.plan(1.0) == []
    allotment.observe(routers[1].report())
    assert allotment.plan(1.0) == [lost[1]]
    routers[1].apply(lost[1])
    routers[1].commit()
    allotment.observe(routers[1].report())
    assert allotment.plan(1.0) == []


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
    allotment, _ = started()
    before = json.dumps(allotment.snapshot())
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
        allotment.observe(report)
    assert caught.value.field == field
    assert json.dumps(allotment.snapshot()) == before


def test_partitions_cannot_be_taken_away() -> None:
    """A row of more partitions than there are belongs to another deployment."""
    allotment, _ = started(3)
    with pytest.raises(ValueError, match="3 partitions, the topic has 2"):
        ShareAllocator(2).restore(allotment.snapshot())


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
