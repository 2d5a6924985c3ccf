"""The results of a test system, and what they are charged by a rule of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from router.budget.charges import MAX_CHARGE
from schemas import Invalid, Result
from schemas.result import DUPLICATE, read_settlement
from tests.support.records import Record


def answers(records: Iterable[Record]) -> Iterator[tuple[Record, Result]]:
    """Yield what names a reservation; the rejected topic tells of the others."""
    for record in records:
        try:
            result, _ = read_settlement(record.value)
        except Invalid:
            continue
        if result.error is None or result.error.code != DUPLICATE:
            yield record, result


def charged_cost(result: Result, reserved: int) -> int:
    """What a result is charged: what it says, if it is believed, else the reservation."""
    believed = result.cost is not None and result.cost <= MAX_CHARGE
    unknown = result.cost is None and (result.estimated or result.usage is not None)
    return result.cost or 0 if believed else reserved if unknown or result.cost else 0
