"""The quality floors of arrivals, and what receipts tell of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from router.arrays import Floats
from router.policies.base import Decisions
from router.policies.floors import Floor, Floors
from streams.routing.arrivals import Arrival


def floors_of(arrivals: Sequence[Arrival], floors: Floors | None) -> list[Floor] | None:
    """Return the floor of each query; None where the policy keeps none."""
    if floors is None:
        return None
    queries = [arrival.query for arrival in arrivals]
    return [
        floors.of(query.tenant if query else None, query.floor if query else None)
        for query in queries
    ]


def on_receipts(
    floors: Sequence[Floor] | None, decisions: Decisions, quality: Floats
) -> list[dict[str, Any]]:
    """Return the fields of each query's receipt that tell of its floor.

    Args:
        floors: Of n queries; None for none.
        decisions: On them.
        quality: float64[n, M], their estimated scores.
    """
    count = len(decisions.model)
    if floors is None or decisions.preferred is None:
        return [{}] * count
    chosen, preferred = decisions.model.tolist(), decisions.preferred.tolist()
    found = []
    for row, (floor, reason) in enumerate(zip(floors, decisions.reason, strict=True)):
        gave_way = None
        if reason == "no_budget":
            gave_way = "query"
        elif reason == "next_best" and quality[row, chosen[row]] < quality[row, preferred[row]]:
            gave_way = "floor"
        found.append({"floor": floor.value, "gave_way": gave_way})
    return found
