"""Assigns the partitions of topics that belong together by one number, to the same processes.

Faust groups topics by how many partitions each has. While topics are being grown their numbers
differ, and a partition's queries, results and shares would go to different processes. So the
number comes from outside: all of these topics have that many, whatever the broker says of each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, ClassVar

from faust.assignor import PartitionAssignor
from faust.types import AppT


class SharedNumbers(PartitionAssignor):
    """Faust's assignor, with one number of partitions for the topics that share their numbers."""

    shared: ClassVar[frozenset[str]] = frozenset()
    count: ClassVar[Callable[[], int]] = staticmethod(lambda: 0)

    def __init__(self, app: AppT, replicas: int = 0) -> None:
        """Have no partition read by a process that does not own it, whatever `replicas` says."""
        super().__init__(app, 0)

    @classmethod
    def _get_copartitioned_groups(cls, topics: set[str], cluster: Any, subscriptions: Any) -> Any:
        view = _View(cluster, cls.shared, cls.count())
        return super()._get_copartitioned_groups(topics, view, subscriptions)


def with_shared_numbers(topics: Collection[str], count: Callable[[], int]) -> type[SharedNumbers]:
    """Make the class for Faust's `PartitionAssignor` setting.

    Args:
        topics: those whose partitions have the same numbers.
        count: returns how many partitions of each are assigned; called from any thread.
    """
    own = {"shared": frozenset(topics), "count": staticmethod(count)}
    return type("Shared", (SharedNumbers,), own)


class _View:
    """What the assignor asks a cluster for."""

    def __init__(self, cluster: Any, shared: frozenset[str], count: int) -> None:
        self._cluster = cluster
        self._shared = shared
        self._count = count

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        found: set[int] | None = self._cluster.partitions_for_topic(topic)
        return set(range(self._count)) if found and topic in self._shared else found
