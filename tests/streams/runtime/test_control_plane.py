"""What must hold of the control plane: each change makes a new decider, and changes no old one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from router.estimation.scorer import QueryScorer
from router.policies.explore import Explore
from schemas import BudgetControl, ModelControl, Prices
from schemas.control import Control, control_key
from schemas.price import TokenRatio
from schemas.wire import encode
from streams.runtime import control_plane
from streams.runtime.control_plane import ControlPlane
from tests.support.recorded import CORE, FLEET
from tests.support.router_config import LIMITS, router_config, router_parts

NEWCOMER = ModelControl(
    name="new",
    action="add",
    input_price=1,
    output_price=1,
    limit=600,
    max_output_tokens=100,
    context=1000,
    carry_over=True,
)


@pytest.fixture
def control(tmp_path: Path) -> ControlPlane:
    return ControlPlane(router_config(tmp_path), router_parts(), "control")


def message(value: bytes | None, offset: int = 0, key: bytes = b"") -> Any:
    return SimpleNamespace(key=lambda: key, value=lambda: value, offset=lambda: offset)


def prices(version: int, price: float = 0.5, policy: str = "primal-dual") -> Any:
    state = {"version": version, "prices": dict.fromkeys(FLEET.names, price)}
    value = Prices(policy=policy, version=version, state=state, solved_at=1.0)
    return message(encode(value), version)


def command(control: Control, offset: int = 0) -> Any:
    return message(encode(control), offset, control_key(control).encode())


def test_it_begins_with_the_prices_of_the_history(control: ControlPlane) -> None:
    """Version 0, every model open, no command known."""
    decider = control.decider
    assert (decider.price_version, decider.control_version) == (0, 0)
    assert decider.scorer is CORE
    assert decider.open.tolist() == [True, True]
    assert control.prices() == {"small": 0.0, "large": 0.0}


def test_prices_come_with_a_new_policy(control: ControlPlane) -> None:
    """Whoever still holds the old decider decides by the old prices."""
    old = control.decider
    control.apply_prices(prices(3))
    assert control.decider.price_version == 3
    assert control.prices() == {"small": 0.5, "large": 0.5}
    assert old.price_version == 0
    assert old.policy.snapshot()["prices"] == {"small": 0.0, "large": 0.0}
    assert control.decider.scorer is old.scorer


def test_bytes_per_token_come_with_prices(control: ControlPlane) -> None:
    """Routers count by them from then on; prices without any are an older controller's."""
    ratio = TokenRatio(mean=4.0, conservative=3.99, count=50)
    few = TokenRatio(mean=2.0, conservative=2.0)
    told = {"small\tprose": ratio, "large\tprose": few}
    state = {"version": 1, "prices": {}}
    value = Prices(policy="primal-dual", version=1, state=state, solved_at=1.0, token_ratios=told)
    control.apply_prices(message(encode(value)))
    assert control.decider.scorer.observed.ratios == {"small\tprose": 3.9}
    assert control.token_ratios == told
    control.apply_command(command(NEWCOMER))
    assert control.decider.scorer.observed.ratios == {"small\tprose": 3.9}
    control.apply_prices(prices(2))
    assert control.decider.scorer.observed.ratios == {}


def test_busy_pools_come_with_prices(control: ControlPlane) -> None:
    """Until prices come without them; those of an older version change nothing."""

    def told(version: int, *busy: str) -> Any:
        state = {"version": version, "prices": {}}
        value = Prices(
            policy="primal-dual", version=version, state=state, solved_at=1.0, busy_pools=[*busy]
        )
        return message(encode(value))

    control.apply_prices(told(2, "large.short"))
    assert control.decider.scorer.observed.busy == {"large.short"}
    control.apply_prices(told(1))
    assert control.decider.scorer.observed.busy == {"large.short"}
    control.apply_prices(told(3))
    assert control.decider.scorer.observed.busy == frozenset()


@pytest.mark.parametrize(
    "record",
    [prices(2, 0.9), prices(3, 0.9), prices(4, policy="other"), message(b"no json"), message(None)],
    ids=["old", "same", "other policy", "no json", "empty"],
)
def test_other_prices_change_nothing(control: ControlPlane, record: Any) -> None:
    """Old ones, another policy's, and what is none."""
    control.apply_prices(prices(3))
    before = control.decider
    control.apply_prices(record)
    assert control.decider is before
    assert control.prices()["small"] == 0.5


def test_a_state_that_is_not_the_policy_s_changes_nothing(control: ControlPlane) -> None:
    """Even where a part of it could be taken over."""
    value = Prices(policy="primal-dual", version=5, state={"prices": 7}, solved_at=1.0)
    control.apply_prices(message(encode(value)))
    assert control.decider.price_version == 0
    assert control.prices() == {"small": 0.0, "large": 0.0}


def test_a_paused_model_is_closed(control: ControlPlane) -> None:
    """In the new decider alone, whose version is the command's."""
    old = control.decider
    control.apply_command(command(ModelControl(name="small", action="pause"), 7))
    assert control.decider.open.tolist() == [False, True]
    assert control.decider.control_version == 8
    assert old.open.tolist() == [True, True]


def test_a_command_that_cannot_be_followed_counts_all_the_same(control: ControlPlane) -> None:
    """Its offset has been read; nothing else changes."""
    control.apply_command(message(b"no json", 4))
    assert control.decider.control_version == 5
    assert control.decider.open.tolist() == [True, True]


def test_a_new_model_is_scored_and_tried(control: ControlPlane) -> None:
    """Listeners are told once; its window is known, and it may use a part of its limit."""
    told: list[list[str]] = []
    control.listen(lambda added: told.append(list(added)))
    control.apply_command(command(NEWCOMER, 0))
    control.apply_command(command(ModelControl(name="new", action="pause"), 1))
    assert told == [["new"], []]
    assert list(control.decider.scorer.catalog.names) == ["small", "large", "new"]
    assert isinstance(control.decider.policy, Explore)
    assert control.decider.open.tolist() == [True, True, False]
    assert len(control.calendar.begins(0.0)) == 3
    assert control.limits()["new"] == 300
    assert control.full_limits()["new"] == 600


def test_limits_of_tenants_are_followed(control: ControlPlane) -> None:
    """The names of their accounts are in the decider."""
    control.apply_command(command(BudgetControl(model="small", tenant="shop", limit=10)))
    (account,) = control.decider.tenants
    assert "shop" in account
    assert control.limits()[account] == 10


def test_an_index_keeps_learned_prices_and_newcomers(control: ControlPlane) -> None:
    """Those of history are made from the new one."""
    control.apply_command(command(NEWCOMER, 0))
    other = QueryScorer(CORE.embedder, CORE.estimator, FLEET, index="another")
    parts = router_parts(other)
    control.apply_index(parts, parts.new_policy())
    assert control.decider.scorer.index == "another"
    assert len(control.decider.scorer.catalog) == 3
    control.apply_prices(prices(1))
    parts = router_parts()
    policy = parts.new_policy()
    control.apply_index(parts, policy)
    explore = control.decider.policy
    assert isinstance(explore, Explore), "there is a newcomer"
    assert explore.policy is policy, "how much it explores is the new index's"
    assert control.decider.scorer.index is None
    assert (control.decider.price_version, control.prices()["small"]) == (1, 0.5)


def test_a_ledger_begins_with_its_part_of_the_configured_limits(control: ControlPlane) -> None:
    """Less where a command says less, never more; newcomers have nothing before a grant."""
    assert control.new_ledger(0, 2).share.tolist() == [limit // 2 for limit in LIMITS]
    control.apply_command(command(BudgetControl(model="small", limit=400), 0))
    control.apply_command(command(BudgetControl(model="large", limit=9_000), 1))
    control.apply_command(command(NEWCOMER, 2))
    for number in (0, 1):
        ledger = control.new_ledger(number, 2)
        assert list(ledger.names) == ["small", "large", "new"]
        assert ledger.share.tolist() == [200, 1_000, 0]


async def test_commands_of_the_last_owner_are_waited_for(control: ControlPlane) -> None:
    """Until they have been read here, too."""
    waiting = asyncio.create_task(control.wait_for(2))
    for offset in (0, 1):
        await asyncio.sleep(0)
        assert not waiting.done()
        control.apply_command(command(ModelControl(name="small", action="pause"), offset))
    await waiting


async def test_a_topic_that_was_made_anew_is_told_of(
    control: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands that are not there any more would be waited for for ever."""
    monkeypatch.setattr(control_plane, "PATIENCE", 0.0)
    with pytest.raises(RuntimeError, match=r"control ends at offset 0, .* up to 2"):
        await control.wait_for(2)


def newer(record: Any) -> Any:
    """The same record in a format that this version cannot read."""
    value = record.value()
    return message(value[:-1] + b',"format":99}', record.offset(), record.key())


def test_prices_of_a_newer_format_are_passed_over(
    control: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    """No money is lost by older prices."""
    control.apply_prices(newer(prices(1)))
    assert control.decider.price_version == 0
    assert "a newer version wrote it" in caplog.text


def test_a_command_of_a_newer_format_ends_the_process(
    control: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may pause a model or lower a limit."""

    def ended(reason: str) -> None:
        raise SystemExit(reason)

    monkeypatch.setattr(control_plane, "die", ended)
    with pytest.raises(SystemExit, match=r"cannot be followed: format: found 99 .* upgrade"):
        control.apply_command(newer(command(NEWCOMER)))
