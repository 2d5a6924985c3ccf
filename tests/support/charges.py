"""The results of a test system, and what they are charged by a rule of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from router.budget.charges import MAX_CHARGE
from schemas import Invalid, Receipt, Rejected, Result
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


def counted(
    results: Iterable[tuple[Record, Result]],
    rejected: Iterable[Rejected],
    receipts: Iterable[Receipt],
) -> Iterator[tuple[Record, Result]]:
    """Yield what counts, in the order of the partitions' logs: what is refused for its form counts
    where it names a reservation. The first for each decision settles it."""
    sources = ((message.source, message.code) for message in rejected)
    codes = {(source.topic, source.partition, source.offset): code for source, code in sources}
    reserved = {(r.source.partition, r.decision_id, r.id, r.model) for r in receipts}
    for record, result in sorted(results, key=lambda pair: pair[0][1:3]):
        refused = codes.get((record.topic, record.partition, record.offset))
        named = (record.partition, result.decision_id, result.id, result.model)
        if refused is None or (refused != "not_in_flight" and named in reserved):
            yield record, result
