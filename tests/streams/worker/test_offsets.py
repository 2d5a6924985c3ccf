"""What may be committed when records finish in any order: never more than has finished."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.worker.offsets import OffsetTracker


def test_nothing_finished_is_nothing_to_commit() -> None:
    """Before anything has finished there is no offset, whatever was taken."""
    offsets = OffsetTracker()
    assert offsets.committable() is None
    offsets.take(7)
    assert offsets.committable() is None


def test_the_first_unfinished_record_holds_the_rest_back() -> None:
    """Later ones may finish, and are committed with it."""
    offsets = OffsetTracker()
    for offset in (3, 4, 5):
        offsets.take(offset)
    offsets.finish(5)
    offsets.finish(4)
    assert offsets.committable() is None
    offsets.finish(3)
    assert offsets.committable() == 6


def test_a_second_end_does_nothing() -> None:
    """A record that has finished, or was never taken, is no news."""
    offsets = OffsetTracker()
    offsets.finish(0)
    offsets.take(0)
    offsets.finish(0)
    offsets.finish(0)
    offsets.take(1)
    assert offsets.committable() == 1


@given(st.data(), st.lists(st.integers(0, 10_000), min_size=1, max_size=40, unique=True))
def test_every_record_below_is_finished(data: st.DataObject, taken: list[int]) -> None:
    """At every step the offset is above all finished records in a row, and no unfinished one."""
    offsets = OffsetTracker()
    taken.sort()
    for offset in taken:
        offsets.take(offset)
    left = set(taken)
    for offset in data.draw(st.permutations(taken)):
        offsets.finish(offset)
        left.remove(offset)
        row = [each for each in taken if each < min(left, default=taken[-1] + 1)]
        assert offsets.committable() == (row[-1] + 1 if row else None)
