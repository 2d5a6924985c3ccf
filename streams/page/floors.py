"""Quality floors on the page: what is asked, what the last minute's decisions are estimated at."""

from __future__ import annotations

from typing import Any

from router.policies.floors import Floors
from schemas import Receipt
from streams.page.timeline import Step

PREFIX = "floor:"


def count(step: Step, receipt: Receipt) -> None:
    """Add a decision to its floor's sums; nothing where its policy keeps none."""
    if receipt.floor is None:
        return
    name = f"{PREFIX}{receipt.floor:g}:"
    step.add(f"{name}decided")
    if receipt.model is not None:
        step.add(f"{name}sent")
        step.add(f"{name}estimated", receipt.quality.get(receipt.model, 0.0))
    if receipt.gave_way is not None:
        step.add(f"{name}gave_way_{receipt.gave_way}")


def shown(floors: Floors | None, minute: Step) -> list[dict[str, Any]]:
    """Return the floors that are in force or were asked for in the last minute, the highest first.

    Args:
        floors: In force; None for none.
        minute: Sums of the last minute.
    """
    if floors is None:
        return []
    whose: dict[str, list[str]] = {f"{floors.usual:g}": ["usual"]}
    for tenant, value in sorted(floors.tenants.items()):
        whose.setdefault(f"{value:g}", []).append(tenant)
    for name in minute.sums:
        if name.startswith(PREFIX):
            whose.setdefault(name.split(":")[1], [])
    return [
        {"value": float(value), "whose": names, **_figures(value, minute)}
        for value, names in sorted(whose.items(), key=lambda one: -float(one[0]))
    ]


def _figures(value: str, minute: Step) -> dict[str, float | None]:
    def total(what: str) -> float:
        return minute.sums.get(f"{PREFIX}{value}:{what}", 0.0)

    sent = total("sent")
    return {
        "sent": sent,
        "estimated": total("estimated") / sent if sent else None,
        "gave_way_floor": total("gave_way_floor"),
        "gave_way_query": total("gave_way_query"),
    }
