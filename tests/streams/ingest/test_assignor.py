"""Topics that share their numbers are assigned together, whatever the broker has of each."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import faust
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata

from streams.ingest.assignor import with_shared_numbers

COUNTS = {"queries": 6, "results": 3, "changelog": 6, "reports": 1}


def test_one_number_for_all_of_them() -> None:
    """A partition's topics go to the same process, and none beyond the number; others as ever."""
    app = faust.App("assignor", broker="sluice://127.0.0.1:9", web_enabled=False)
    number = 3
    made: Any = with_shared_numbers({"queries", "results", "changelog"}, lambda: number)(app)
    cluster: Any = SimpleNamespace(
        partitions_for_topic=lambda topic: set(range(COUNTS.get(topic, 0)))
    )
    member = made.metadata(set(COUNTS))
    members = {
        name: ConsumerProtocolMemberMetadata(member.version, member.subscription, member.user_data)
        for name in ("one", "other")
    }
    for number in (3, 4):  # one topic lacks the fourth still: only its number counts
        found: list[tuple[str, int]] = []
        for assigned in made.assign(cluster, members).values():
            of = {topic: sorted(partitions) for topic, partitions in assigned.assignment}
            found += [(topic, each) for topic, partitions in of.items() for each in partitions]
            assert of["queries"] == of["results"] == of["changelog"]
        everything = [(t, n) for t in COUNTS for n in range(1 if t == "reports" else number)]
        assert sorted(found) == sorted(everything)


def test_a_topic_that_is_not_there_is_not_made_up() -> None:
    """Faust passes missing topics over, with a warning."""
    made = with_shared_numbers({"gone"}, lambda: 3)
    cluster: Any = SimpleNamespace(partitions_for_topic=lambda _: None)
    assert made._get_copartitioned_groups({"gone"}, cluster, {"one": ["gone"]}) == {}
