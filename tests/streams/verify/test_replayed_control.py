"""What must hold of replayed prices and commands: each moment has those that it had."""

from __future__ import annotations

import math
from typing import Any

import pytest

from router.estimation.observed import Observed
from router.policies.explore import Explore
from schemas import ModelControl, Prices
from schemas.control import Control, control_key
from schemas.price import TokenRatio
from schemas.wire import encode
from streams.kafka.logs import Record
from streams.verify.replayed_control import PriceVersions, ReplayedControl
from tests.support.recorded import FLEET, receipt
from tests.support.router_config import router_parts

PAUSE = ModelControl(name="small", action="pause")
RESUME = ModelControl(name="small", action="resume")
NEWCOMER = ModelControl(
    name="new",
    action="add",
    input_price=1,
    output_price=1,
    limit=600,
    max_output_tokens=100,
    context=1000,
)
PARTS = router_parts()


def prices(
    version: int,
    price: float,
    policy: str = "primal-dual",
    **observed: Any,
) -> bytes:
    state = {"version": version, "prices": dict.fromkeys(FLEET.names, price)}
    return encode(Prices(policy=policy, version=version, state=state, solved_at=1.0, **observed))


def priced(*values: bytes) -> PriceVersions:
    records = [Record("prices", 0, i, 0, b"k", value, ()) for i, value in enumerate(values)]
    return PriceVersions(PARTS.new_policy, records)


def commands(*controls: Control, first: int = 0, at: int = 0) -> list[Record]:
    return [
        Record("control", 0, first + i, at, control_key(one).encode(), encode(one), ())
        for i, one in enumerate(controls)
    ]


def test_every_version_of_the_log_is_found() -> None:
    """The first are those of the history; what has been compacted away is None."""
    versions = priced(prices(2, 0.2), prices(3, 0.3))
    for version, price in ((3, 0.3), (0, 0.0), (2, 0.2)):
        policy = versions.at(version, PARTS)
        assert policy is not None
        assert policy.snapshot()["prices"]["small"] == price
    assert versions.at(1, PARTS) is None


def test_prices_that_a_router_passes_over_are_none() -> None:
    """Another policy's, older ones, and what is no message."""
    versions = priced(prices(2, 0.2), prices(3, 0.3, "other"), prices(1, 0.1), b"no json")
    assert [versions.at(version, PARTS) is None for version in (1, 2, 3)] == [True, False, True]


def test_models_are_open_as_they_were() -> None:
    """By the commands before a version, and no later ones."""
    control = ReplayedControl(FLEET, FLEET.names, commands(PAUSE, RESUME))
    policy = PARTS.new_policy()
    for version, is_open in ((0, True), (1, False), (2, True)):
        control.follow(version)
        assert control.decider(PARTS, policy, Observed(), receipt(0)).open.tolist() == [
            is_open,
            True,
        ]


def test_a_model_with_the_name_of_a_limit_is_not_added() -> None:
    """As routers pass the command over."""
    control = ReplayedControl(FLEET, {*FLEET.names, "new"}, commands(NEWCOMER))
    assert control.complete.names == FLEET.names
    assert list(control.follow(1)) == []


def test_a_new_model_is_scored_from_its_command_on() -> None:
    """The complete catalog has it from the beginning, for results that come later."""
    control = ReplayedControl(FLEET, FLEET.names, commands(PAUSE, NEWCOMER))
    assert len(control.complete) == 3
    assert list(control.follow(1)) == []
    before = control.decider(PARTS, PARTS.new_policy(), Observed(), receipt(0))
    assert len(before.scorer.catalog) == 2
    assert list(control.follow(2)) == ["new"]
    decider = control.decider(PARTS, PARTS.new_policy(), Observed(), receipt(0))
    assert len(decider.scorer.catalog) == 3
    assert isinstance(decider.policy, Explore)


@pytest.mark.parametrize(
    ("records", "version", "since", "complete"),
    [
        (commands(PAUSE, RESUME), 2, math.inf, True),
        (commands(PAUSE, RESUME), 1, math.inf, True),
        (commands(RESUME, first=1), 2, math.inf, True),
        (commands(RESUME, first=1), 1, math.inf, False),
        (commands(RESUME, first=1, at=5_000), 1, 5.0, True),
        (commands(RESUME, first=1, at=4_999), 1, 5.0, False),
        ([], 0, math.inf, True),
        ([], 1, math.inf, False),
    ],
)
def test_whether_a_command_has_been_compacted_away(
    records: list[Record], version: int, since: float, complete: bool
) -> None:
    """One that is gone was replaced by a later one, which was old enough for that."""
    control = ReplayedControl(FLEET, FLEET.names, records, since)
    control.follow(version)
    assert control.is_complete(version) == complete


def test_what_was_observed_comes_with_prices() -> None:
    """Each version has its own; what has been compacted away has none, as version 0."""
    ratios = {"small\tprose": TokenRatio(mean=4.0, conservative=3.5, count=20)}
    versions = priced(
        prices(1, 0.1, token_ratios=ratios, busy_pools=["small.short"]), prices(2, 0.1)
    )
    assert [versions.observed(version).ratios for version in (0, 1, 2, 3)] == [
        {},
        {"small\tprose": 3.5},
        {},
        {},
    ]
    control = ReplayedControl(FLEET, FLEET.names, [])
    decider = control.decider(PARTS, PARTS.new_policy(), versions.observed(1), receipt(0))
    assert decider.scorer.observed == Observed({"small\tprose": 3.5}, {}, {"small.short"})
