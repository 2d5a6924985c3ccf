"""Token pools on the page: how full each is, and which queries spill from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from router.models.busy_pools import capacities
from router.models.catalog import Model


def shown(
    models: Iterable[Model], in_flight: Iterable[Mapping[str, int]], busy: Collection[str]
) -> list[dict[str, Any]]:
    """Return the pools that have a capacity, in the order of their models.

    Args:
        models: Those with pools, and others.
        in_flight: Of each partition, the queries that wait for a result, by pool.
        busy: The pools that queries spill from, as the prices name them.
    """
    told = list(in_flight)
    return [
        {
            "name": pool,
            "capacity": capacity,
            "in_flight": sum(each.get(pool, 0) for each in told),
            "busy": pool in busy,
        }
        for pool, capacity in capacities(models).items()
    ]
