"""Adds partitions to a whole system, for tests."""

from __future__ import annotations

from tests.support.system import System


def grow(system: System, partitions: int) -> None:
    """Run `sluice topics grow`; the test sends to and looks at the new partitions from now on."""
    system.sluice("topics", "grow", "--partitions", partitions)
    planned = system.topics.planned(system.models, partitions, system.model_partitions)
    system.partitions = partitions
    system.counts = {topic.name: topic.partitions for topic in planned}
    system.records.also(system.counts)
    system.producer.list_topics(system.topics.queries, timeout=10.0)
