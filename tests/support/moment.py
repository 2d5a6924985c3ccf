"""All that stands in some topics at one moment, while a system goes on."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

from tests.support.patience import PATIENCE
from tests.support.records import Record


class Reads(Protocol):
    """What `moment` wants of a system."""

    def read(self, topic: str) -> list[Record]:
        """All records of a topic, to its end now."""
        ...


def moment(system: Reads, topics: Iterable[str]) -> dict[str, list[Record]]:
    """All records of some topics at one moment, by topic: none came between two readings of all.

    A pass over what waits may route one more at any time. Raises AssertionError where the topics
    do not rest for so long as two readings take, within `PATIENCE` seconds.
    """
    names, until = list(topics), time.monotonic() + PATIENCE
    before = {name: list(system.read(name)) for name in names}
    while True:
        after = {name: list(system.read(name)) for name in names}
        if all(len(after[name]) == len(before[name]) for name in names):
            return before
        assert time.monotonic() < until, "the topics go on and on: there is no moment to look at"
        before = after
