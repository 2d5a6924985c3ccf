"""What the invariants are checked on is of one moment, also while a router goes on."""

from __future__ import annotations

import pytest

from tests.support.moment import moment
from tests.support.records import Record


class Busy:
    """Topics that get a record each whenever one of them has been read, for so many readings."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._topics: dict[str, list[Record]] = {"receipts": [], "changelog": []}

    def read(self, topic: str) -> list[Record]:
        """All records of a topic; both topics go on after it."""
        found = list(self._topics[topic])
        if self._steps:
            self._steps -= 1
            for name, records in self._topics.items():
                records.append(Record(name, 0, len(records), None, None, {}, 0.0))
        return found


def test_a_moment_is_the_same_of_all_topics() -> None:
    """Topics that were read one after another, while both went on, differ: they are read again."""
    busy = Busy(steps=5)
    torn = {name: len(busy.read(name)) for name in ("receipts", "changelog")}
    assert torn == {"receipts": 0, "changelog": 1}
    found = moment(busy, ["receipts", "changelog"])
    assert {name: len(records) for name, records in found.items()} == {
        "receipts": 5,
        "changelog": 5,
    }


def test_topics_that_never_rest_are_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no moment to look at: that is an error, and not an endless wait."""
    monkeypatch.setattr("tests.support.moment.PATIENCE", 0.0)
    with pytest.raises(AssertionError, match="on and on"):
        moment(Busy(steps=1000), ["receipts", "changelog"])
