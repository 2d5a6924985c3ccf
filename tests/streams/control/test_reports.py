"""What must hold of reports: they tell what is in the changelog, and each thing once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import ShareReport
from schemas.wire import decode, encode
from streams.control.reports import SAMPLE, Sample, report
from tests.support.recorded import RecordedOutbox, decide, memory_store, open_partition, receipt


@given(st.lists(st.integers(0, 2 * SAMPLE), max_size=8))
def test_a_sample_is_the_newest_estimates(sizes: list[int]) -> None:
    """However they came, the last SAMPLE of them, in order, and fewer only where fewer came."""
    sample, count = Sample(), 0
    for size in sizes:
        numbers = np.arange(count, count + size, dtype=np.float64)
        sample.add(np.column_stack([numbers, -numbers]), np.column_stack([numbers, numbers]))
        count += size
    quality, cost = sample.take()
    newest = list(range(max(count - SAMPLE, 0), count))
    assert quality.reshape(-1, 2).tolist() == [[i, -i] for i in newest]
    assert cost.reshape(-1, 2).tolist() == [[i, i] for i in newest]


@given(st.lists(st.integers(1, SAMPLE), min_size=1, max_size=50))
def test_a_sample_does_not_grow(sizes: list[int]) -> None:
    """A partition that nobody asks keeps no more than twice what it would tell."""
    sample = Sample()
    for size in sizes:
        sample.add(np.ones((size, 1)), np.ones((size, 1)))
        assert sum(map(len, sample._quality)) < 2 * SAMPLE
    assert len(sample.take()[0]) == min(sum(sizes), SAMPLE)


def test_what_was_taken_is_not_told_again() -> None:
    """The next sample begins anew."""
    sample = Sample()
    sample.add(np.ones((3, 2)), np.ones((3, 2)))
    assert len(sample.take()[0]) == 3
    assert len(sample.take()[0]) == 0
    sample.add(np.zeros((1, 2)), np.zeros((1, 2)))
    assert sample.take()[0].tolist() == [[0, 0]]


async def test_a_report_tells_the_accounts_and_what_was_wanted() -> None:
    """Shares, reserved and spent as committed, unmet wishes and the sample; sent, it reads back."""
    partition = open_partition(RecordedOutbox(), memory_store(), number=0)
    partition.granted, partition.arrivals = 3, 12
    await decide(partition, receipt(0), receipt(1, "large", 70))
    partition.ledger.settle(0, 100, 40)
    partition.ledger.roll(np.array([0, 500]))
    await partition.commit({})
    partition.unmet.add(1, 30)
    partition.unmet.add(1, 20)
    sample = Sample()
    sample.add(np.array([[0.25, 0.1234567]]), np.array([[9.6, 20.2]]))
    told = decode(ShareReport, encode(report(partition, sample)))
    assert (told.partition, told.sequence, told.arrivals, told.granted) == (0, 2, 12, 3)
    small, large = told.models["small"], told.models["large"]
    assert (small.share, small.reserved, small.spent, small.window) == (1000, 0, 40, 0)
    assert (large.share, large.reserved, large.spent, large.window) == (500, 0, 0, 500)
    assert (small.wanted, small.smallest) == (0, 0)
    assert (large.wanted, large.smallest) == (50, 20)
    assert told.columns == ["small", "large"]
    assert (told.quality, told.cost) == ([[0.25, 0.123457]], [[10, 20]])


async def test_the_next_report_tells_only_what_is_new() -> None:
    """Accounts are told again; wishes and estimates are not, and no columns without rows."""
    partition, sample = open_partition(RecordedOutbox(), memory_store()), Sample()
    partition.unmet.add(0, 5)
    sample.add(np.ones((1, 2)), np.ones((1, 2)))
    first, second = (report(partition, sample) for _ in range(2))
    assert first.models["small"].wanted == 5
    assert (second.models["small"].wanted, second.models["small"].smallest) == (0, 0)
    assert second.models["small"].share == first.models["small"].share
    assert (second.columns, second.quality, second.cost) == ([], [], [])


@pytest.mark.parametrize("number", [0, 2])
def test_a_report_names_its_partition(number: int) -> None:
    """Reports of all partitions go to one partition of their topic."""
    partition = open_partition(RecordedOutbox(), memory_store(), number)
    assert report(partition, Sample()).partition == number
