"""What must hold of a partition's rows and accounts of tenants, from one owner to the next."""

from __future__ import annotations

import numpy as np
import orjson
from msgspec import structs

from router.budget.ledger import account_key
from streams.kafka.starts import Calls
from streams.routing.expiration import Expirer
from streams.routing.settlement import Settler
from streams.state.partition import Partition
from streams.state.rows import Row, row_key
from streams.state.store import MemoryStore
from tests.support.recorded import (
    FLEET,
    SHARES,
    TOPICS,
    RecordedOutbox,
    new_ledger,
    new_metrics,
    open_partition,
    receipt,
    record,
)

SHOP = account_key("small", "shop")
LIMITED, LIFTED = frozenset({SHOP}), frozenset[str]()
NO_WINDOWS = np.zeros(len(FLEET), dtype=np.int64)


def opened(store: MemoryStore, limits: frozenset[str]) -> Partition:
    """A partition as its next owner loads it; the shop's account would begin with 300."""
    ledger = new_ledger()
    ledger.limit_tenants(limits)
    ledger.share[len(FLEET) :] = 300
    return open_partition(RecordedOutbox(), store, ledger=ledger)


async def with_a_row() -> MemoryStore:
    """The state of a partition that holds 100 nano-units of model "small" for the shop."""
    store = MemoryStore()
    partition = opened(store, LIMITED)
    numbers = np.array([partition.ledger.index["small"], partition.ledger.index[SHOP]])
    partition.ledger.reserve(numbers, np.array([100, 100]))
    row = Row(receipt=structs.replace(receipt(0), tenant="shop"))
    partition.record_decisions("queries", {0: row})
    await partition.commit({row_key("queries", 0): row})
    return store


def money(partition: Partition) -> dict[str, tuple[int, int]]:
    """Reserved and spent by account."""
    accounts = partition.ledger.accounts()
    return {name: (account.reserved, account.spent) for name, account in accounts.items()}


async def test_what_a_lifted_limit_holds_still_settles() -> None:
    """The next owner knows no limit of the shop's: its result moves both accounts all the same,
    and if the limit is set again, what was spent counts."""
    store = await with_a_row()
    partition = opened(store, LIFTED)
    assert partition.ledger.tenants == {}
    assert partition.ledger.accounts()[SHOP].lifted
    assert money(partition) == {"small": (100, 0), "large": (0, 0), SHOP: (100, 0)}
    answer = {"id": "q0", "decision_id": "queries/0/0", "model": "small", "status_code": 200}
    value = orjson.dumps({**answer, "cost": 40})
    settler = Settler(lambda: FLEET, RecordedOutbox(), TOPICS, new_metrics())
    await settler.settle(partition, [record(0, value, TOPICS.results)])
    again = opened(store, LIMITED)
    assert not again.ledger.accounts()[SHOP].lifted
    assert money(again) == {"small": (0, 40), "large": (0, 0), SHOP: (0, 40)}
    assert again.ledger.free()[again.ledger.index[SHOP]] == 300 - 40


async def test_a_deadline_releases_in_both_accounts() -> None:
    """The rejection has left, and neither the model nor the shop holds anything any more."""
    partition = opened(await with_a_row(), LIMITED)
    outbox = RecordedOutbox()
    await Expirer(outbox, TOPICS, 60.0, lambda _: NO_WINDOWS, lambda *_: Calls()).expire(
        partition, 2000.0
    )
    assert [rejected.code for rejected in outbox.rejected()] == ["deadline_exceeded"]
    assert set(money(partition).values()) == {(0, 0)}


async def test_a_limit_that_a_state_does_not_know_has_no_share() -> None:
    """The controller has not granted it, and would refuse reports of it; without any state a
    partition begins with its part, as it does of models."""
    store = MemoryStore()
    assert opened(store, LIMITED).ledger.share.tolist() == [*SHARES, 300]
    await opened(store, LIFTED).commit({})
    assert opened(store, LIMITED).ledger.share.tolist() == [*SHARES, 0]


async def test_a_limit_set_at_run_time_is_counted_with() -> None:
    """Accounts and unmet wishes grow together, and what was noted keeps its place."""
    partition = opened(MemoryStore(), LIFTED)
    partition.unmet.add(1, 7)
    partition.limit_tenants(LIMITED)
    partition.unmet.add(partition.ledger.index[SHOP], 5)
    wanted, smallest = partition.unmet.take()
    assert wanted.tolist() == smallest.tolist() == [0, 7, 5]
