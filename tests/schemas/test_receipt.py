"""Rules of receipts."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import (
    Invalid,
    Receipt,
    Source,
)

SOURCE = Source("queries", 0, 7)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_receipt_names_the_quality_that_is_no_number(bad: float) -> None:
    """An estimate that went wrong stops where it is made, not on the wire; others may be any."""
    known: dict[str, Any] = {"id": "q", "decision_id": "d", "decision": "deferred", "reason": ""}
    known |= {"policy": "p", "source": SOURCE, "decided_at": 1.0}
    assert Receipt(**known, quality={"a": -0.1, "b": 1.5}).quality == {"a": -0.1, "b": 1.5}
    with pytest.raises(Invalid, match=r"quality\.b: .*finite") as caught:
        Receipt(**known, quality={"a": 0.5, "b": bad})
    assert caught.value.field == "quality.b"
