"""Which token pools are busy, by the requests that are under way in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from router.models.catalog import Model
from router.models.pools import QUIET_BELOW, SPILL_AT, served


def capacities(models: Iterable[Model]) -> dict[str, int]:
    """Return the requests that pools can have under way, by pool as `served` names it."""
    return {
        served(model.name, pool.name): pool.capacity
        for model in models
        for pool in model.pools
        if pool.capacity is not None
    }


class BusyPools:
    """The pools that requests spill from. Those without a capacity are never among them.

    A pool gets busy at `SPILL_AT` of its capacity and is so until less than `QUIET_BELOW` of it is
    under way. What is under way is told by partition; a partition that has not been heard of may
    have any number, so no pool is quiet again before all have.
    """

    def __init__(self, models: Iterable[Model] = (), busy: Collection[str] = ()) -> None:
        """Args:
        models: Those with pools, and others.
        busy: The pools that are said to be busy until now, as `served` names them.
        """
        self._capacity = capacities(models)
        self._told = frozenset(busy)
        self._in_flight: dict[int, Mapping[str, int]] = {}
        self.busy = self._told & self._capacity.keys()
        """As `served` names them."""

    def observe(self, partition: int, in_flight: Mapping[str, int]) -> None:
        """Take in the requests that a partition has under way by now, by pool."""
        if self._capacity:
            self._in_flight[partition] = in_flight

    def judge(self, partitions: int) -> bool:
        """Decide which pools are busy now.

        Args:
            partitions: Number of partitions that have requests under way.

        Returns:
            Whether these are others than before.
        """
        least = QUIET_BELOW if len(self._in_flight) >= partitions else 0.0
        before = self.busy
        self.busy = frozenset(
            pool
            for pool in self._capacity
            if self._load(pool) >= (least if pool in before else SPILL_AT)
        )
        return self.busy != before

    def take_news(self) -> bool:
        """Return whether the busy pools are others than at the last call, or at first."""
        told, self._told = self._told, self.busy
        return told != self._told

    def _load(self, pool: str) -> float:
        """Return what is known to be under way in a pool with a capacity, in parts of that."""
        return sum(each.get(pool, 0) for each in self._in_flight.values()) / self._capacity[pool]
