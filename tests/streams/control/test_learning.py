"""What the controller learns of answers and arrivals, and hands on with prices."""

from __future__ import annotations

from typing import Any

import pytest

from router.estimation.image_tokens import ImageMaxima
from router.estimation.token_ratio import ENOUGH, TokenRatios
from router.models.busy_pools import BusyPools
from router.models.catalog import Model
from router.models.pools import Pool
from router.policies.floors import Floor
from schemas.price import ImageTokens
from streams.control.observations import Observations
from tests.support.control_desk import SAMPLE, Desk, report
from tests.support.recorded import TOPICS


async def test_games_are_learned_once() -> None:
    """A report that comes twice tells the policy of its games once."""
    desk, game = Desk(), {"model": "small", "results": {"large": 0.5}}
    told = report(0, 1, games=[game, game])
    await desk.follow(told, told)
    await desk.follow(told)
    assert desk.policy.games == [("small", {"large": 0.5})] * 2


async def test_floors_of_a_sample_are_shown_to_the_policy() -> None:
    """By their names; a report of what is none is rejected."""
    desk = Desk()
    await desk.follow(report(0, 1, **SAMPLE, floors=["0.7/shop", "0.8"]))
    assert desk.policy.floors == [[Floor(0.7, "shop"), Floor(0.8)]]
    await desk.follow(report(0, 2, **SAMPLE, floors=["0.7", "high"]))
    (refused,) = desk.outbox.of(TOPICS.rejected)
    assert "floors" in refused.json()["reason"]
    assert len(desk.policy.floors) == 1


USE = {"model": "small", "text": "prose", "size": 4_000, "tokens": 1_000}


async def test_bytes_per_token_are_published_when_enough_is_known() -> None:
    """With prices or without any, once, until they are others."""
    desk = Desk()
    await desk.follow(report(0, 1, token_uses=[USE] * (ENOUGH - 1)), report(1, 1))
    assert desk.prices() == []
    told = report(0, 2, token_uses=[USE])
    await desk.follow(told, told)
    (prices,) = desk.prices()
    (ratio,) = prices.token_ratios.values()
    assert (list(prices.token_ratios), ratio.count) == (["small\tprose"], ENOUGH)
    assert (ratio.mean, ratio.conservative) == (4.0, 4.0)
    await desk.follow(report(0, 3, token_uses=[USE]))
    assert desk.prices() == []
    await desk.follow(report(0, 4, token_uses=[{**USE, "tokens": 2_000}]))
    (prices,) = desk.prices()
    assert prices.token_ratios["small\tprose"].conservative < 2.5


async def test_the_next_controller_goes_on_from_published_ratios() -> None:
    """It publishes none before it has learned others, and keeps them beside new prices."""
    first = Desk()
    await first.follow(report(0, 1, token_uses=[USE] * ENOUGH), report(1, 1))
    (before,) = first.prices()
    desk = Desk(observations=Observations(TokenRatios(before.token_ratios)))
    await desk.follow(report(0, 1), report(1, 1))
    assert desk.prices() == []
    await desk.follow(report(0, 2, **SAMPLE))
    (prices,) = desk.prices()
    assert prices.token_ratios == before.token_ratios


IMAGE_USE = {"model": "small", "declared": 100, "tokens": 1_000}


async def test_tokens_of_images_are_published_and_said_when_they_are_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At once, in one line of the log, and the next controller goes on from them."""
    desk = Desk()
    await desk.follow(report(0, 1, image_uses=[IMAGE_USE]), report(1, 1))
    (prices,) = desk.prices()
    assert prices.image_tokens == {"small": ImageTokens(declared=100, tokens=1_024)}
    assert "small: an image took 1000 prompt tokens, its image_tokens are 100" in caplog.text
    await desk.follow(report(0, 2, image_uses=[IMAGE_USE]))
    assert desk.prices() == []
    assert caplog.text.count("took") == 1
    desk = Desk(observations=Observations(images=ImageMaxima(prices.image_tokens)))
    await desk.follow(report(0, 1, image_uses=[IMAGE_USE]), report(1, 1))
    assert desk.prices() == []
    await desk.follow(report(0, 2, **SAMPLE))
    (again,) = desk.prices()
    assert again.image_tokens == prices.image_tokens


async def test_outcomes_correct_the_policy() -> None:
    """Once each, of the models that it knows; what they teach travels with prices."""
    desk = Desk(corrected=True)
    told = [{"model": name, "score": -0.5, "cost": 2.0} for name in ("large", "gone")]
    first = report(0, 1, **SAMPLE, outcomes=told * 20)
    await desk.follow(first, first, report(1, 1))
    (prices,) = desk.prices()
    assert prices.state["corrections"].keys() == {"large"}
    weight, *_ = prices.state["corrections"]["large"]
    assert 15 < weight <= 20


POOLED = Model("large", 1, 1, pools=(Pool("short", 10, 1, 1, capacity=10), Pool("long", 20, 1, 1)))
BUSY: dict[str, Any] = {"in_flight": {"large.short": 9}}


async def test_a_pool_that_gets_busy_is_published_at_once() -> None:
    """Not with the next solution; the same prices are published, and nothing more than that."""
    desk = Desk(every=100.0, observations=Observations(pools=BusyPools([POOLED])))
    await desk.follow(report(0, 1, **SAMPLE), report(1, 1))
    (before,) = desk.prices()
    await desk.follow(report(0, 2, **BUSY), report(1, 2, **SAMPLE))
    (prices,) = desk.prices()
    assert (prices.busy_pools, prices.version) == (["large.short"], before.version + 1)
    assert (prices.state, prices.remaining) == (before.state, before.remaining)
    await desk.follow(report(0, 3, in_flight={"large.short": 7}), report(1, 3, in_flight={}))
    assert desk.prices() == []
    await desk.follow(report(0, 4))
    (prices,) = desk.prices()
    assert prices.busy_pools == []


async def test_the_next_controller_goes_on_from_busy_pools() -> None:
    """It tells of them with new prices, and ends them when it has heard of all partitions."""
    desk = Desk(observations=Observations(pools=BusyPools([POOLED], ["large.short"])))
    await desk.follow(report(0, 1, **SAMPLE))
    (prices,) = desk.prices()
    assert prices.busy_pools == ["large.short"]
    await desk.follow(report(1, 1))
    assert [prices.busy_pools for prices in desk.prices()] == [[]]


async def test_a_report_that_comes_late_changes_no_load() -> None:
    """What a partition has under way is told by its newest report."""
    desk = Desk(observations=Observations(pools=BusyPools([POOLED])))
    await desk.follow(report(0, 2), report(1, 1))
    await desk.follow(report(0, 1, **BUSY))
    assert desk.prices() == []
