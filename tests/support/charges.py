"""What results of a test system are charged, by a rule of its own."""

from __future__ import annotations

from router.budget.charges import MAX_CHARGE
from schemas import Result


def charged_cost(result: Result, reserved: int) -> int:
    """What a result is charged: what it says, if it is believed, else the reservation."""
    believed = result.cost is not None and result.cost <= MAX_CHARGE
    unknown = result.cost is None and (result.estimated or result.usage is not None)
    return result.cost or 0 if believed else reserved if unknown or result.cost else 0
