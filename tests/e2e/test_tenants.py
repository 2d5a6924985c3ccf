"""Limits of tenants on a whole system: they hold at every record, and hinder nobody else."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import orjson

from router.budget.ledger import account_key, owner
from schemas import Receipt
from schemas.wire import decode
from streams.brokers import Broker
from streams.brokers.embedded import EmbeddedBroker
from tests.support import invariants
from tests.support.records import trace
from tests.support.system import MODELS, System

LIMIT = 1_500_000
"""Nano-units that the shop may spend of each model: some answers' worth."""
Settings = dict[str, dict[str, object]]


def limited(tenant: str, limit: int) -> Settings:
    """A limit of so many nano-units for every model, and passes that come soon."""
    return {
        f"tenants.{tenant}.limits": dict.fromkeys(MODELS, f"{limit / 1e9:.9f}"),
        "deferral": {"retry_seconds": 1},
    }


def produce(system: System, rows: Iterable[int], tenants: Mapping[int, str]) -> None:
    """Send queries of the workload, each for its tenant, and wait for the acknowledgement."""
    for row in rows:
        id, prompt = system.queries.ids[row], system.queries.prompts[row]
        data = orjson.dumps({"id": id, "prompt": prompt, "tenant": tenants[row]})
        system.sent[id] = data
        system.send(system.topics.queries, data, id.encode(), headers=trace(id))
    system.flush()


def receipts(system: System) -> list[Receipt]:
    """Every decision once, partition by partition in the order of the logs."""
    found = [decode(Receipt, record.value) for record in system.read(system.topics.receipts)]
    places = {(r.source.partition, r.source.topic, r.source.offset): r for r in found}
    return [places[place] for place in sorted(places)]


def test_a_tenant_keeps_to_its_limits_and_others_go_on(
    broker: Broker, tmp_path: Path, prefix: str
) -> None:
    """With plenty for all but the shop: it spends no more than its limits at any record of the
    changelog, over a kill as well, and waits; the bank never lacks room. Audit and replay agree
    with the ledger to the nano-unit and the byte."""
    store = "memory" if isinstance(broker, EmbeddedBroker) else "rocksdb"
    tenants = {row: "shop" if row % 2 else "bank" for row in range(300)}
    with System(
        broker, tmp_path, prefix, store=store, plenty=20.0, settings=limited("shop", LIMIT)
    ) as system:
        system.start_router("r0")
        system.answer(twice=0.1)
        produce(system, range(150), tenants)
        system.wait("some decisions", lambda: len(system.decided()) >= 50)
        system.kill("r0")
        system.start_router("r0")
        produce(system, range(150, 300), tenants)
        system.wait_settled()

        owners = {system.queries.ids[row]: tenant for row, tenant in tenants.items()}
        decided = receipts(system)
        lacked = {owners[r.id] for r in decided if r.reason == "no_budget"}
        assert lacked == {"shop"}, "the shop never ran dry, or the bank did"
        assert all((r.tenant == "shop") == (owners[r.id] == "shop") for r in decided if r.model)

        assert system.stop("r0") == 0
        system.verify()
        # A last look at what waits may have routed one more before the stop.
        story = invariants.hold(system, drained=False)
        spent: Counter[str] = Counter()
        for accounts in story.last_accounts().values():
            spent.update({name: account.spent for name, account in accounts.items()})
        for name, amount in spent.items():
            if owner(name)[1] is not None:
                assert amount <= LIMIT
                assert amount < spent[owner(name)[0]]
        assert max(spent[account_key(model, "shop")] for model in MODELS) > 0


def test_tenants_that_wait_do_not_starve_one_another(
    broker: Broker, tmp_path: Path, prefix: str
) -> None:
    """The bank's queries wait behind the shop's, which has no money: they go as soon as the bank
    has, in their order; the shop's follow, in theirs, when an order gives it its limits. The guest
    gets its first limits while routers run. All of it can be taken again from the log."""
    owners = ["shop"] * 40 + ["bank"] * 20 + ["guest"] * 20
    tenants = dict(enumerate(owners))
    settings = limited("shop", 10**9) | limited("bank", 10**9)
    with System(broker, tmp_path, prefix, plenty=50.0, settings=settings) as system:

        def set_limits(tenant: str, limit: str) -> None:
            for model in MODELS:
                system.sluice("budget", "set", model, limit, "--tenant", tenant)

        def sent_to_models(tenant: str) -> list[Receipt]:
            owners = {system.queries.ids[row]: name for row, name in tenants.items()}
            return [r for r in receipts(system) if r.model and owners[r.id] == tenant]

        for tenant in ("shop", "bank"):
            set_limits(tenant, "0")
        system.start_router("r0")
        system.answer()
        produce(system, range(40), tenants)
        produce(system, range(40, 60), tenants)
        system.wait_decided()
        assert not any(receipt.model for receipt in receipts(system))
        shop = {system.queries.ids[row] for row in range(40)}
        bank = {system.queries.ids[row] for row in range(40, 60)}
        set_limits("bank", "1")
        system.wait("the bank's", lambda: {r.id for r in sent_to_models("bank")} >= bank)
        assert not sent_to_models("shop")
        shown = system.sluice("budget", "show")
        assert all(
            f"{model} ({tenant})" in shown for model in MODELS for tenant in ("shop", "bank")
        )
        set_limits("shop", "1")
        system.wait("the shop's", lambda: {r.id for r in sent_to_models("shop")} >= shop)
        system.wait_settled()
        produce(system, range(60, 70), tenants)
        system.wait_settled()
        assert {r.tenant for r in sent_to_models("guest")} == {None}
        set_limits("guest", "0.000002")
        system.wait("accounts for the guest", lambda: has_accounts(system, "guest"))
        produce(system, range(70, 80), tenants)
        system.wait_settled()
        assert {r.tenant for r in sent_to_models("guest")} <= {None, "guest"}
        guest = {system.queries.ids[row] for row in range(70, 80)}
        held_back = {r.reason for r in receipts(system) if r.id in guest and r.model is None}
        assert held_back & {"no_budget", "not_worth"}, "the guest's limits are of no effect"
        for tenant in ("shop", "bank"):
            in_order(system, sent_to_models(tenant))
        assert system.stop("r0") == 0
        system.verify()
        invariants.hold(system, drained=False)


def test_a_window_rolls_over(embedded_broker: EmbeddedBroker, tmp_path: Path, prefix: str) -> None:
    """The shop runs dry; when the models' hour ends, its accounts begin anew with theirs and those
    of its queries that wait go on. No window holds more than the limit, and audit and replay find
    each charge in the window that reserved it."""
    settings = limited("shop", LIMIT)
    hour = {"budget.window": "hour", "budget.start": int(time.time()) + 40}
    settings |= {f'models."{model}"': dict(hour) for model in MODELS}
    tenants = dict.fromkeys(range(100), "shop")
    with System(embedded_broker, tmp_path, prefix, plenty=20.0, settings=settings) as system:
        system.start_router("r0")
        system.answer()
        produce(system, range(100), tenants)
        system.wait_decided()
        before = set(windows(system))
        assert len(before) == 1, "the hour ended too early, on a very slow machine"
        assert any(receipt.reason == "no_budget" for receipt in receipts(system))
        system.wait("the next hour", lambda: bool(windows(system).keys() - before))
        system.wait(
            "money spent in it",
            lambda: any(spent for begin, spent in windows(system).items() if begin not in before),
        )
        system.wait_settled()
        assert system.stop("r0") == 0
        system.verify()
        used: Counter[tuple[str, int]] = Counter()
        for state in system.states().values():
            for name, account in state.accounts.items():
                assert account.window == state.accounts[owner(name)[0]].window
                used[name, account.window] += account.reserved + account.spent
                used.update({(name, begin): sum(held) for begin, held in account.past.items()})
        shops = {key: amount for key, amount in used.items() if owner(key[0])[1] == "shop"}
        assert max(shops.values()) <= LIMIT
        busy = {window for (_, window), amount in shops.items() if amount}
        assert len(busy) == 2, "the shop spent in one window only"


def windows(system: System) -> Counter[int]:
    """What the shop has spent in each of the windows that its accounts are in."""
    spent: Counter[int] = Counter()
    for state in system.states().values():
        for name, account in state.accounts.items():
            if owner(name)[1] == "shop":
                spent[account.window] += account.spent
    return spent


def has_accounts(system: System, tenant: str) -> bool:
    """Whether every partition has reported accounts of this tenant for all models."""
    wanted = {account_key(model, tenant) for model in MODELS}
    reports = [record.json() for record in system.read(system.topics.share_reports)]
    told = {report["partition"] for report in reports if wanted <= report["models"].keys()}
    return len(told) == system.partitions


def in_order(system: System, sent: list[Receipt]) -> None:
    """Queries of one tenant left each partition in the order in which they had come to it."""
    came = {record.json()["id"]: record.offset for record in system.read(system.topics.queries)}
    for number in range(system.partitions):
        offsets = [came[receipt.id] for receipt in sent if receipt.source.partition == number]
        assert offsets == sorted(offsets)
