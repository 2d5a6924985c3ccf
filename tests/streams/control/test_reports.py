"""What must hold of reports: they tell what is in the changelog, and each thing once."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from schemas import ShareGrant, ShareReport
from schemas.wire import decode, encode
from streams.control.reports import report
from streams.state.store import MemoryStore
from tests.support.recorded import (
    FLEET,
    RecordedOutbox,
    decide,
    open_partition,
    receipt,
)


async def test_a_report_tells_the_accounts_and_what_was_wanted() -> None:
    """Shares, reserved and spent as committed, unmet wishes and the sample; sent, it reads back."""
    partition = open_partition(RecordedOutbox(), MemoryStore(), number=0)
    partition.apply_grant(ShareGrant(partition=0, sequence=3, models={}))
    partition.record_arrivals([np.ones((11, 2))] * 2, [None] * 11)
    partition.sample.take()
    await decide(partition, receipt(0), replace(receipt(1, "large", 70), pool="short"))
    partition.ledger.settle(0, 100, 40)
    partition.ledger.roll(np.array([0, 500]))
    await partition.commit({})
    partition.record_unmet(1, 30)
    partition.record_unmet(1, 20)
    partition.record_arrivals(
        [np.array([[0.25, 0.1234567]]), np.array([[9.6, 20.2]]), np.array([[3.0, 4.0]])], ["shop"]
    )
    told = decode(ShareReport, encode(report(partition, FLEET.names)))
    assert (told.partition, told.sequence, told.arrivals, told.granted) == (0, 2, 12, 3)
    small, large = told.models["small"], told.models["large"]
    assert (small.share, small.reserved, small.spent, small.window) == (1000, 0, 40, 0)
    assert (large.share, large.reserved, large.spent, large.window) == (500, 0, 0, 500)
    assert (small.wanted, small.smallest) == (0, 0)
    assert (large.wanted, large.smallest) == (50, 20)
    assert told.columns == ["small", "large"]
    assert (told.quality, told.cost) == ([[0.25, 0.1234567]], [[9.6, 20.2]])
    assert (told.tokens, told.tenants) == ([[3, 4]], ["shop"])
    assert told.in_flight == {"large.short": 1}


async def test_the_next_report_tells_only_what_is_new() -> None:
    """Accounts are told again, and that a wish waits; its sum and estimates are not, and no columns
    without rows."""
    partition = open_partition(RecordedOutbox(), MemoryStore())
    partition.record_unmet(0, 5)
    partition.record_arrivals([np.ones((1, 2))] * 2, [None])
    first, second = (report(partition, FLEET.names) for _ in range(2))
    assert first.models["small"].wanted == 5
    assert (second.models["small"].wanted, second.models["small"].smallest) == (1, 5)
    assert second.models["small"].share == first.models["small"].share
    assert (second.columns, second.quality, second.cost) == ([], [], [])
    assert (first.tokens, first.tenants) == ([], [])


@pytest.mark.parametrize("number", [0, 2])
def test_a_report_names_its_partition(number: int) -> None:
    """Reports of all partitions go to one partition of their topic."""
    partition = open_partition(RecordedOutbox(), MemoryStore(), number)
    assert report(partition, FLEET.names).partition == number
