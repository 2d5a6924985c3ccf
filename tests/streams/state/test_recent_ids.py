"""What must hold of the memory of ids: it never forgets within its bound, nor exceeds it."""

from __future__ import annotations

import base64
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streams.state import recent_ids
from streams.state.recent_ids import BLOCK, BLOCK_ROWS, ROW_IDS, UNKNOWN, IdRow, RecentIds


class RecentMachine(RuleBasedStateMachine):
    """Chunks of new and old ids, written ahead and committed, or killed before the commit."""

    @initialize(bound=st.integers(1, 3 * BLOCK), late=st.sampled_from([0, 100, 10_000]))
    def begin(self, bound: int, late: int) -> None:
        self.sorts = patch.object(recent_ids, "LATE", late)
        self.sorts.start()
        self.bound = bound
        self.recent = RecentIds(bound)
        self.rows: dict[int, bytes] = {}
        self.added: list[str] = []

    @rule(
        size=st.integers(0, BLOCK - 5),
        back=st.lists(st.integers(1, 2000), max_size=3),
        committed=st.booleans(),
        written=st.integers(0, 20),
    )
    def chunk(self, size: int, back: list[int], committed: bool, written: int) -> None:
        start = len(self.added)
        back = [i for i in back if i <= start]
        old = [self.added[-i] for i in back]
        new = [str(i) for i in range(start, start + size)]
        ids = old + new + new[:2]
        seen = self.recent.seen(ids)
        assert seen[len(old) :] == [False] * len(new) + [True] * len(new[:2])
        for i, found in zip(back, seen, strict=False):
            assert found or i > self.bound
        fresh = [each for each, found in zip(ids, seen, strict=True) if not found]
        rows = {n: msgspec.json.encode(row) for n, row in self.recent.add(fresh).items()}
        assert len(rows) <= 2 + len(fresh) // ROW_IDS
        if committed:
            self.rows |= rows
            self.added += list(dict.fromkeys(fresh))
        else:
            self.rows |= dict(list(rows.items())[:written])
            self.kill()

    @rule()
    def kill(self) -> None:
        """What was not committed was not added."""
        self.recent = RecentIds(self.bound)
        rows = {n: msgspec.json.decode(row, type=IdRow) for n, row in self.rows.items()}
        self.recent.restore(rows, len(self.added))

    def teardown(self) -> None:
        self.sorts.stop()

    @invariant()
    def it_remembers_the_last_and_no_more_than_it_may(self) -> None:
        last = self.added[-self.bound :]
        assert all(self.recent.seen(last))
        assert len(self.recent) <= self.recent.rows * ROW_IDS <= self.bound + 2 * BLOCK
        assert self.recent.count == len(self.added)


RecentMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestRecent = RecentMachine.TestCase


@given(
    chunks=st.lists(st.lists(st.text(max_size=5), max_size=20), max_size=10),
)
def test_a_restored_memory_is_the_same(chunks: list[list[str]]) -> None:
    """Rows hold all there is: the next rows are the same, byte for byte."""
    recent, again = RecentIds(1), RecentIds(1)
    rows: dict[int, IdRow] = {}
    for ids in chunks:
        rows |= recent.add(ids)
    again.restore(rows, recent.count)
    more = [f"more {i}" for i in range(700)]
    assert again.add(more) == recent.add(more)


def test_rows_of_another_memory_are_refused() -> None:
    """The error says what does not fit."""
    rows = RecentIds(10_000).add([str(i) for i in range(5_000)])
    with pytest.raises(ValueError, match="does not belong to a memory of 32 rows of 32"):
        RecentIds(1).restore(rows, 5_000)
    with pytest.raises(ValueError, match="at least 1 id"):
        RecentIds(0)


def test_what_is_forgotten_is_new_again() -> None:
    """Here and after a restart; its neighbours stay, with the offsets of their records."""
    recent, again = RecentIds(1), RecentIds(1)
    rows = recent.add({"a": 5, "b": 6})
    rows |= recent.forget(["a", "never"])
    again.restore(rows, recent.count)
    for memory in (recent, again):
        assert memory.seen(["a", "b"]) == [False, True]
        assert (memory.offset_of("a"), memory.offset_of("b")) == (UNKNOWN, 6)
        memory.add({"a": 9})
        assert memory.offset_of("a") == 9


@given(
    steps=st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 300), max_size=40)), max_size=30)
)
def test_a_plain_dictionary_remembers_the_same(steps: list[tuple[bool, set[int]]]) -> None:
    """Whatever is added, forgotten and added again, within the bound."""
    recent, plain = RecentIds(2_000), dict[str, int]()
    with patch.object(recent_ids, "LATE", 50):
        for number, (add, ids) in enumerate(steps):
            named = [str(id) for id in sorted(ids)]
            assert recent.seen(named) == [id in plain for id in named]
            if add:
                recent.add(dict.fromkeys(named, number))
                plain = {**dict.fromkeys(named, number), **plain}
            else:
                recent.forget(named)
                plain = {id: at for id, at in plain.items() if id not in named}
    assert len(recent) == len(plain)
    assert {id: recent.offset_of(id) for id in plain} == plain


def test_few_ids_make_a_short_row() -> None:
    """A chunk of one query writes less than a kilobyte."""
    (row,) = RecentIds().add({"a": 5}).values()
    assert len(msgspec.json.encode(row)) < 800


def test_rows_of_older_routers_are_read() -> None:
    """Each is as long as BLOCK_ROWS of today's; the oldest hold no offsets."""
    recent = RecentIds(1)
    rows = recent.add({str(i): i for i in range(ROW_IDS + 1)})
    empty = base64.b64encode(bytes(8 * ROW_IDS)).decode()
    parts = [rows.get(i, IdRow(0, empty, empty)) for i in range(BLOCK_ROWS)]
    hashes, offsets = (
        base64.b64encode(b"".join(base64.b64decode(text) for text in column)).decode()
        for column in ([part.hashes for part in parts], [part.offsets for part in parts])
    )
    for columns, known in (([hashes, offsets], ROW_IDS), ([hashes], UNKNOWN)):
        old = msgspec.json.decode(msgspec.json.encode([recent.count, *columns]), type=IdRow)
        again = RecentIds(1)
        again.restore(dict(enumerate(old.cut())), recent.count)
        assert again.seen([str(ROW_IDS), "other"]) == [True, False]
        assert again.offset_of(str(ROW_IDS)) == known
