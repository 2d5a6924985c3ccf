"""Overlapping limits on a whole system: each holds at every record, in its own unit and window."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from router.budget.ledger import owner
from schemas import Receipt
from schemas.wire import decode
from streams.brokers import Broker
from streams.brokers.embedded import EmbeddedBroker
from streams.cli import main
from streams.config.settings import load
from tests.support import invariants
from tests.support.overlapping import TENANTS, overlapping
from tests.support.system import System

REQUESTS = 150
"""Queries a minute; more than so many come in one."""


def routed(system: System) -> list[Receipt]:
    """The decisions for a model, each once: after a kill receipts leave again."""
    found = [decode(Receipt, record.value) for record in system.read(system.topics.receipts)]
    return list({one.decision_id: one for one in found if one.decision == "routed"}.values())


def told_the_same(system: System) -> None:
    """The budgets are shown, and replay and audit agree with the topics."""
    shown = system.sluice("budget", "show")
    for words in ("all", "mistral", "(shop)", "tokens", "calls"):
        assert words in shown
    system.verify()


def test_all_limits_hold_at_once(broker: Broker, tmp_path: Path, prefix: str) -> None:
    """Two routers, one of which is killed: money of all and of a provider, of each tenant, tokens
    and calls a minute. What a minute has no room for goes in the next; audit and replay agree."""
    embedded = isinstance(broker, EmbeddedBroker)
    total = 60_000_000
    system = System(
        broker,
        tmp_path,
        prefix,
        store="memory" if embedded else "rocksdb",
        plenty=30.0,
        settings=overlapping(total, REQUESTS),
        tenants=TENANTS,
    )
    with system:
        system.start_router("r0")
        if not embedded:
            system.start_router("r1")
        system.answer(twice=0.1)
        system.produce(0, 150)
        system.wait("some decisions", lambda: len(system.decided()) >= 50)
        system.kill("r0")
        system.start_router("r0")
        system.produce(150, 300)
        system.wait_decided()

        def minutes() -> Counter[int]:
            return Counter(receipt.windows["calls"] for receipt in routed(system))

        system.wait("calls of two minutes", lambda: len(minutes()) >= 2, timeout=150.0)
        assert max(minutes().values()) <= REQUESTS
        system.wait("all reservations to end", system._drained)
        for name in ("r0",) if embedded else ("r0", "r1"):
            assert system.stop(name) == 0
        told_the_same(system)
        story = invariants.hold(system, drained=False)
        limits = load(system.config, {}).amounts()
        spent: Counter[str] = Counter()
        for accounts in story.last_accounts().values():
            spent.update({name: account.spent for name, account in accounts.items()})
        for name, amount in spent.items():
            assert amount <= limits[owner(name)[0]], name
        assert {"fair\tshop", "fair\tbank", "fair\tguest", "fair\t"} <= spent.keys()
        assert spent["all"] > 0
        assert all(receipt.reserved_tokens for receipt in routed(system))


def test_a_limit_is_raised_at_run_time(broker: Broker, tmp_path: Path, prefix: str) -> None:
    """Queries that a spent limit holds back go on as soon as it is raised, for one tenant too."""
    limits: dict[str, dict[str, object]] = {
        "limits.all": {"amount": 0},
        "limits.fair": {"amount": 1, "tenants": "each"},
        "deferral": {"retry_seconds": 1},
    }
    with System(
        broker, tmp_path, prefix, size=60, plenty=50.0, settings=limits, tenants=TENANTS
    ) as system:
        system.start_router("r0")
        system.answer()
        system.produce(0, 40)
        system.wait_decided()
        assert routed(system) == []
        system.sluice("budget", "set", "all", "1")
        system.wait("all queries to go", lambda: len(routed(system)) >= 40)
        system.sluice("budget", "set", "fair", "0", "--tenant", "shop")
        time.sleep(2.0)  # until routers and the controller have followed
        system.produce(40, 60)
        system.wait_decided()
        system.wait("others to go", lambda: len(routed(system)) >= 55)
        late = {system.queries.ids[row] for row in range(41, 60, 4)}
        assert not late & {receipt.id for receipt in routed(system)}
        found = system.sluice("budget", "set", "nothing", "1", code=1)
        assert "no model or limit" in found


@pytest.mark.parametrize("unit", ["tokens", "requests"])
def test_amounts_are_whole(unit: str, tmp_path: Path) -> None:
    """Half a token is nothing that can be set."""
    file = tmp_path / "sluice.toml"
    file.write_text(
        "[models.a]\ninput_price = 1\noutput_price = 1\n"
        f"[limits.x]\namount = 5\nunit = '{unit}'\nwindow = 'day'\n"
    )
    found = CliRunner().invoke(main, ["budget", "set", "x", "1.5", "--config", str(file)])
    assert found.exit_code != 0
    assert "whole number" in found.output
