"""How many queries wait for a result of each pool."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from schemas import Receipt
from schemas.wire import encode
from streams.state.in_flight import InFlight
from streams.state.rows import Row, row_head
from tests.support.recorded import receipt


def routed(offset: int, pool: str | None = "short") -> Receipt:
    return replace(receipt(offset), pool=pool)


def test_queries_are_counted_by_pool() -> None:
    """From their decision to their end; those of models without pools, and deferred ones, not."""
    counted = InFlight()
    receipts = [routed(0), routed(1), routed(2, "long"), routed(3, None), receipt(4, None)]
    for one in receipts:
        counted.begin(one)
    assert counted.counts() == {"small.short": 2, "small.long": 1}
    for one in receipts[1:]:
        counted.end(one)
    assert counted.counts() == {"small.short": 1}


@pytest.mark.parametrize(
    ("fields", "counts"),
    [({}, {"small.short": 1}), ({"expired": True}, {}), ({"held": True}, {})],
    ids=["open", "expired", "held"],
)
def test_rows_that_a_partition_is_loaded_with_are_counted(
    fields: dict[str, Any], counts: dict[str, int]
) -> None:
    """As they pass by; those beyond their deadline are under way no longer."""
    counted = InFlight()
    rows = [("q1", row_head(encode(Row(receipt=routed(1), **fields))))]
    assert list(counted.loaded(rows)) == rows
    assert counted.counts() == counts
