"""What must hold of the controller: shares within the limits, prices from what is left, and both
unmoved by reports that are late, repeated or untrue."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from confluent_kafka import KafkaException

from router.policies.primal_dual import PrimalDual
from schemas.fields import INT64
from streams.state.ownership import Superseded
from tests.support.control_desk import LIMITS, QUERIES, SAMPLE, Desk, Policy, report
from tests.support.recorded import FLEET, TOPICS

BOTH = report(0, 1), report(1, 1)
GRANTED = 500, 250
"""The shares of each partition after the first grants, which follow on `BOTH`."""


async def test_nothing_is_granted_before_every_partition_has_told() -> None:
    """What one has not told of may be spent already."""
    desk = Desk()
    await desk.follow(report(0, 1))
    assert desk.grants() == {}
    await desk.follow(report(1, 1))
    assert set(desk.grants()) == {0, 1}


async def test_grants_divide_the_limits_and_go_to_their_partitions() -> None:
    """Without a difference in need: even shares of the whole, each with its partition as a key."""
    desk = Desk()
    await desk.follow(*BOTH)
    grants = desk.grants()
    assert [grants[n].models for n in (0, 1)] == [{"small": 500, "large": 250}] * 2
    assert [grants[n].sequence for n in (0, 1)] == [1, 1]
    assert [(sent.key, sent.partition) for sent in desk.outbox.of(TOPICS.share_grants)] == [
        (b"0", 0),
        (b"1", 1),
    ]


async def test_need_moves_shares_within_the_limit() -> None:
    """Who could not take a query gets more; and never more than the limit is out."""
    desk = Desk()
    wants: dict[str, Any] = {"spent": 90, "wanted": 600, "smallest": 300}
    await desk.follow(report(0, 1), report(1, 1, use=wants))
    grants = desk.grants()
    small = [grants[n].models["small"] if n in grants else 100 for n in (0, 1)]
    assert small[1] > small[0]
    assert small[1] >= 390
    assert sum(small) <= LIMITS["small"]


async def test_the_accounts_are_written_before_grants_leave() -> None:
    """And where the changelog refuses them, no grant does."""
    desk = Desk()
    await desk.follow(*BOTH)
    assert desk.outbox.topics()[:2] == [TOPICS.controller_changelog, TOPICS.share_grants]
    refused = Desk()
    refused.outbox.refuses = TOPICS.controller_changelog
    with pytest.raises(KafkaException):
        await refused.follow(*BOTH)
    assert refused.grants() == {}


async def test_the_next_controller_goes_on_from_the_accounts() -> None:
    """It knows the grants under way: a lost one leaves again, unchanged."""
    desk = Desk()
    await desk.follow(*BOTH)
    grants, saved = desk.grants(), desk.saved()
    after = Desk(saved)
    await after.follow(report(0, 2, granted=1, share=GRANTED), report(1, 2))
    assert after.grants() == {1: grants[1]}
    await after.follow(report(1, 3, granted=1, share=GRANTED))
    assert after.grants() == {}


async def test_without_accounts_it_believes_what_it_is_told() -> None:
    """A first report may tell of any grant; the next grant's number follows on it."""
    desk = Desk()
    await desk.follow(report(0, 1, granted=7), report(1, 1, granted=3))
    assert [desk.grants()[n].sequence for n in (0, 1)] == [8, 4]


async def test_repeated_and_late_reports_change_nothing() -> None:
    """Neither shares, nor what the policy sees, nor prices; in one chunk or in a later one."""
    desk, once = Desk(), Desk()
    old, new = report(0, 1, **SAMPLE), report(0, 2, **SAMPLE, arrivals=9)
    await once.follow(old, new, report(1, 1))
    await desk.follow(old, new, report(1, 1), new, old)
    assert desk.policy.seen == once.policy.seen
    assert desk.grants() == once.grants()
    assert [prices.expected for prices in desk.prices()] == [QUERIES - 9]
    await desk.follow(new, old)
    assert len(desk.policy.seen) == 2
    assert desk.prices() == []


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (b"no json", None),
        (report(2, 3, **SAMPLE), "partition"),
        (report(0, 3, granted=2, share=GRANTED, **SAMPLE), "granted"),
        (report(0, 3, granted=1, share=(501, 250), **SAMPLE), "models.small.share"),
        (report(0, 3, granted=1, share=GRANTED, use={"window": 500}), "models.small.window"),
    ],
)
async def test_an_untrue_report_is_rejected_and_the_rest_goes_on(
    value: bytes, field: str | None
) -> None:
    """With its bytes and place; nothing in it counts, its estimates neither."""
    desk = Desk()
    await desk.follow(*BOTH)
    good = [report(n, 2, granted=1, share=GRANTED, **SAMPLE) for n in (0, 1)]
    await desk.follow(good[0], value, good[1])
    (rejected,) = desk.outbox.rejected()
    assert (rejected.field, rejected.original()) == (field, value)
    assert (rejected.source.topic, rejected.source.offset) == (TOPICS.share_reports, 1)
    assert len(desk.policy.seen) == 2
    assert len(desk.prices()) == 1


async def test_a_superseded_controller_rejects_nothing() -> None:
    """What looks untrue to it may follow from grants of the next one."""
    desk = Desk()
    await desk.follow(*BOTH)
    desk.superseded = True
    with pytest.raises(Superseded):
        await desk.follow(report(0, 3, granted=2, share=GRANTED))
    assert desk.outbox.sent == []


async def test_prices_are_solved_for_what_is_left() -> None:
    """The limits less what is drawn, for the queries that have not come; a router can follow."""
    desk = Desk()
    use = {"reserved": 20, "spent": 30}
    await desk.follow(report(0, 1, use=use, arrivals=10, **SAMPLE), report(1, 1, arrivals=5))
    (prices,) = desk.prices()
    assert prices.remaining == {"small": 950, "large": 500}
    assert prices.expected == QUERIES - 15
    assert (prices.policy, prices.version, prices.solved_at) == ("primal-dual", 1, desk.now)
    (sent,) = desk.outbox.of(TOPICS.prices)
    assert (sent.key, sent.partition) == (b"primal-dual", 0)
    router = PrimalDual(FLEET)
    router.restore(prices.state)
    np.testing.assert_array_equal(router.gamma, desk.policy.gamma)


async def test_versions_rise_by_one() -> None:
    """New prices are a version of their own, after the one the process knew before; a solution
    that leaves them as they are is none."""
    desk = Desk()
    desk.controller.version = 6
    versions = []
    for sequence in range(1, 4):
        await desk.follow(report(0, sequence, **SAMPLE))
        versions += [prices.version for prices in desk.prices()]
    assert versions == [7, 8]


async def test_prices_are_solved_no_more_often_than_asked() -> None:
    """A second goes by with each chunk, and ten must lie between two solutions."""
    desk = Desk(every=10.0)
    solved = []
    for sequence in range(1, 22):
        await desk.follow(report(0, sequence, **SAMPLE))
        solved += [sequence] * len(desk.prices())
    assert solved == [1, 11]  # the third solution leaves prices as they are


async def test_without_estimates_there_are_no_prices() -> None:
    """Reports of partitions without traffic solve nothing."""
    desk = Desk()
    await desk.follow(*BOTH)
    assert desk.prices() == []


async def test_samples_are_put_into_the_order_of_the_fleet() -> None:
    """A router with another list of models: those it lacks are worth nothing, others left out."""
    desk = Desk()
    odd: dict[str, Any] = {"columns": ["gone", "large"], "quality": [[0.5, 0.9]], "cost": [[7, 40]]}
    await desk.follow(report(0, 1, **odd))
    assert desk.policy.seen == [([[0.0, 0.9]], [[1.0, 40.0]])]


async def test_a_lowered_limit_takes_shares_back() -> None:
    """With the next grants, down to what is drawn at least."""
    desk = Desk()
    await desk.follow(*BOTH)
    desk.controller.limit({"small": 200, "large": 500})
    await desk.follow(*(report(n, 2, granted=1, share=GRANTED, use={"spent": 60}) for n in (0, 1)))
    grants = desk.grants()
    small = [grants[n].models["small"] for n in (0, 1)]
    assert sum(small) <= 200
    assert min(small) >= 60


async def test_the_largest_limit_leaves_money_to_plan_with() -> None:
    """What is left of it times a factor does not fit 64 bits: the prices must stay readable."""
    desk = Desk()
    desk.controller.limit({"small": INT64, "large": 500})
    await desk.follow(report(0, 1, **SAMPLE), report(1, 1))
    (prices,) = desk.prices()
    assert prices.remaining == {"small": 2**62, "large": 500}


async def test_prices_follow_a_limit_though_nothing_arrives() -> None:
    """A batch that has ended waits for money: it hears of it by prices, once for each change."""
    desk = Desk()
    desk.controller.limit({"small": 0, "large": 0})
    sample = {**SAMPLE, "arrivals": 2, "waiting": 2}
    await desk.follow(report(0, 1, share=(0, 0), **sample), report(1, 1, share=(0, 0)))
    (first,) = desk.prices()
    assert min(first.state["prices"].values()) > 0
    await desk.follow(report(0, 2, share=(0, 0), waiting=2, arrivals=2))
    assert desk.prices() == []
    desk.controller.limit({"small": 10**6, "large": 10**6})
    await desk.follow(report(0, 3, share=(0, 0), waiting=2, arrivals=2))
    (second,) = desk.prices()
    assert second.version == first.version + 1
    assert set(second.state["prices"].values()) == {0.0}
    await desk.follow(report(0, 4, share=(0, 0), waiting=2, arrivals=2))
    assert desk.prices() == []


async def test_prices_count_on_no_money_of_a_closed_model() -> None:
    """Its queries will draw on the others."""
    desk = Desk()
    await desk.follow(report(0, 1, **SAMPLE), report(1, 1))
    desk.controller.limit(LIMITS, closed={"large"})
    await desk.follow(report(0, 2))
    (prices,) = desk.prices()
    assert prices.remaining["large"] == 0


async def test_a_new_index_brings_its_own_policy() -> None:
    """Prices are solved by it at once."""
    desk = Desk()
    await desk.follow(report(0, 1, **SAMPLE), report(1, 1))
    fresh = Policy()
    fresh.warm_start(np.array([[0.9, 0.1]]), np.array([[50.0, 10.0]]))
    desk.controller.replace_policy(fresh)
    await desk.follow(report(0, 2))
    assert desk.prices()
