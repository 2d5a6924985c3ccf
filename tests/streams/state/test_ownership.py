"""What must hold of ownership: whatever several processes write to one changelog, and wherever it
is compacted, every reader ends with the rows of the rightful owners."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.kafka.logs import Record
from streams.state.fence import OWNER, claim_key, is_claim, rightful
from streams.state.ownership import Ownership, Superseded
from streams.state.store import MemoryStore
from tests.support.patience import PATIENCE
from tests.support.shared_log import LOG, SharedLog

Change = tuple[bytes, bytes | None]


class Owner:
    """One process with its store, which it recovers from the log before it claims."""

    def __init__(self, log: SharedLog, store: MemoryStore | None = None) -> None:
        self.log = log
        self.store = MemoryStore() if store is None else store
        self.ownership = Ownership(LOG, 0, self.store, log.outbox(), log.logs())

    def recover(self) -> Owner:
        self.store.take(0, self.log.records)
        return self

    async def claim(self) -> Owner:
        await self.ownership.claim()
        return self

    async def write(self, *changes: Change) -> None:
        await self.ownership.write(dict(changes))

    def late(self, *changes: Change) -> None:
        """What it had sent before it was paused arrives only now."""
        for key, value in changes:
            self.log.append(key, value, [(OWNER, self.ownership.token)])

    def rows(self) -> dict[bytes, bytes]:
        return shown(self.store)


def shown(store: MemoryStore) -> dict[bytes, bytes]:
    """A store's rows, but for the one that says nothing."""
    return {key: value for key, value in store.scan(0, b"") if key != b"owner"}


def read(records: Sequence[Record]) -> dict[bytes, bytes]:
    """The rows that somebody finds who reads the log from its beginning."""
    rows: dict[bytes, bytes | None] = {}
    for record in rightful(records):
        rows[record.key or b""] = record.value
    return {key: value for key, value in rows.items() if value is not None and key != b"owner"}


@pytest.fixture
def log() -> SharedLog:
    return SharedLog()


async def test_an_owner_s_records_count(log: SharedLog) -> None:
    """Its claim comes first, each record names it, and its store follows."""
    owner = await Owner(log).claim()
    await owner.write((b"a", b"1"), (b"b", b"2"))
    await owner.write((b"a", None))
    assert is_claim(log.records[0].key)
    assert {dict(record.headers)[OWNER] for record in log.records} == {owner.ownership.token}
    assert owner.rows() == read(log.records) == {b"b": b"2"}
    assert owner.store.reached(0) == log.end - 1


async def test_a_log_from_before_claims_is_read(log: SharedLog) -> None:
    """Rows without an owner count up to the first claim."""
    log.append(b"a", b"old", [])
    owner = await Owner(log).recover().claim()
    log.append(b"a", b"older still", [])
    await owner.write((b"b", b"new"))
    assert owner.rows() == read(log.records) == {b"a": b"old", b"b": b"new"}


async def test_what_came_after_the_recovery_is_read_with_the_claim(log: SharedLog) -> None:
    """Until the claim the former owner's records count, however late they came."""
    former = await Owner(log).claim()
    await former.write((b"a", b"1"))
    owner = Owner(log).recover()
    former.late((b"a", b"2"), (b"b", b"3"))
    await owner.claim()
    assert owner.rows() == {b"a": b"2", b"b": b"3"}


async def test_a_superseded_owner_ends(log: SharedLog) -> None:
    """It learns of the claim with its next write, even if its own records came in between: nothing
    of them counts, and the words name who has taken over, and where."""
    former = await Owner(log).claim()
    owner = await Owner(log).recover().claim()
    await owner.write((b"a", b"right"))
    claimed = log.records[1].offset
    with pytest.raises(Superseded, match=rf"process \d+ has taken it over \(offset {claimed}\)"):
        await former.write((b"a", b"wrong"), (b"b", b"wrong"))
    assert read(log.records) == {b"a": b"right"}


async def test_a_claim_amid_a_write_supersedes_the_writer(log: SharedLog) -> None:
    """What came before the claim counts; the writer may publish nothing of it."""
    former, others = await Owner(log).claim(), 0

    def claim() -> None:
        nonlocal others
        others += 1
        if others == 2:
            log.append(claim_key(b"other"), b"somebody", [])

    log.before = claim
    with pytest.raises(Superseded, match="somebody"):
        await former.write((b"a", b"1"), (b"b", b"2"))
    assert read(log.records) == {b"a": b"1"}


async def test_a_claim_that_is_superseded_at_once_ends_its_process(log: SharedLog) -> None:
    """Two that take over at the same time: the later claim is the owner's."""
    log.append(b"a", b"1", [])
    slow = Owner(log)  # has recovered nothing yet, so it reads on after its claim
    spans = log.spans

    def overtaken(topic: str) -> Any:
        log.append(claim_key(b"other"), b"somebody", [])
        return spans(topic)

    log.spans = overtaken  # type: ignore[method-assign]  # between the claim and the reading
    with pytest.raises(Superseded):
        await slow.claim()


async def test_who_gives_a_claim_up_waits_for_its_reader(log: SharedLog) -> None:
    """It would go on writing rows beside the next owner, or after their files are closed."""
    log.append(b"a", b"1", [])
    owner, reading, may, spans = Owner(log), threading.Event(), threading.Event(), log.spans

    def slow(topic: str) -> Any:
        reading.set()
        assert may.wait(PATIENCE)
        return spans(topic)

    log.spans = slow  # type: ignore[method-assign]
    claim = asyncio.create_task(owner.claim())
    assert await asyncio.to_thread(reading.wait, PATIENCE)
    claim.cancel()
    await asyncio.sleep(0)
    assert not claim.done()
    may.set()
    with pytest.raises(asyncio.CancelledError):
        await claim
    assert owner.rows() == {b"a": b"1"}


@pytest.mark.parametrize("late", [(b"a", b"wrong"), (b"a", None)])
async def test_what_a_void_record_hides_is_written_again(log: SharedLog, late: Change) -> None:
    """By the owner's next write, or by the next owner's claim; then compaction may come."""
    former = await Owner(log).claim()
    await former.write((b"a", b"1"), (b"b", b"2"))
    owner = await Owner(log).recover().claim()
    former.late(late)
    await owner.write((b"c", b"3"))
    log.compact(log.end, log.end)
    assert read(log.records) == owner.rows() == {b"a": b"1", b"b": b"2", b"c": b"3"}
    former.late(late, (b"never", b"there"))
    after = await Owner(log).recover().claim()
    log.compact(log.end, log.end)
    assert read(log.records) == after.rows() == owner.rows()


async def test_an_idle_owner_writes_now_and_then(log: SharedLog) -> None:
    """Or what is hidden from compaction would be noticed too late; a busy one need not."""
    former = await Owner(log).claim()
    owner = await Owner(log).recover().claim()
    end = log.end
    await owner.ownership.confirm(3600.0)
    assert log.end == end
    former.late((b"a", b"wrong"))
    await owner.ownership.confirm(0.0)
    assert log.end > end + 1
    await owner.ownership.release()
    end = log.end
    await owner.ownership.confirm(0.0)
    assert log.end == end


async def test_a_log_that_went_back_is_no_log(log: SharedLog) -> None:
    """A topic that was deleted and made again: the owner's rows are not those of this log."""
    owner = await Owner(log).claim()
    await owner.write((b"a", b"1"))
    log.end = 0
    log.records.clear()
    with pytest.raises(RuntimeError, match="has the topic been deleted and made again"):
        await owner.write((b"a", b"2"))


async def test_offsets_that_the_broker_does_not_tell_are_read(log: SharedLog) -> None:
    """As after a repetition that the broker recognised."""
    owner = await Owner(log).claim()
    send = owner.ownership._send

    async def untold(rows: Any) -> int:
        await send(rows)
        return -1

    owner.ownership._send = untold  # type: ignore[method-assign]
    await owner.write((b"a", b"1"))
    assert owner.rows() == {b"a": b"1"}
    assert owner.store.reached(0) == log.end - 1


changes = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.none() | st.binary(min_size=1, max_size=2)),
    min_size=1,
    max_size=3,
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), changes),
        st.tuples(st.just("cut off"), changes),
        st.tuples(st.just("late"), changes, st.integers(0, 5)),
        st.tuples(st.just("amid"), changes, changes, st.integers(0, 5)),
        st.tuples(st.just("wake"), changes, st.integers(0, 5)),
        st.tuples(st.just("take over"), st.booleans(), st.none() | changes),
        st.tuples(st.just("compact"), st.integers(0, 40)),
        st.tuples(st.just("follow"), st.integers(0, 40)),
    ),
    max_size=25,
)


class Story:
    """Owners that follow on one another, and what the rows are by the word of each in its time."""

    def __init__(self) -> None:
        self.log = SharedLog()
        self.truth: dict[bytes, bytes | None] = {}
        self.former: list[Owner] = []
        self.own: Owner | None = None
        self.safe = 0
        """What is before this offset has been seen by its owner: compaction's lag is over."""
        self.follower = MemoryStore()

    async def play(self, step: tuple[Any, ...]) -> None:
        await getattr(self, "_" + step[0].replace(" ", "_"))(*step[1:])

    async def owner(self) -> Owner:
        if self.own is None:
            await self._take_over(False, None)
        assert self.own is not None
        return self.own

    async def _write(self, changes: list[Change]) -> None:
        await (await self.owner()).write(*changes)
        self.truth.update(changes)
        self.safe = self.log.end

    async def _cut_off(self, changes: list[Change]) -> None:
        """The owner is killed with records on their way."""
        (await self.owner()).late(*changes)
        self.truth.update(dict(changes))
        await self._take_over(False, None)

    async def _late(self, changes: list[Change], who: int) -> None:
        if self.former:
            self.former[who % len(self.former)].late(*changes)

    async def _amid(self, mine: list[Change], theirs: list[Change], who: int) -> None:
        """A former owner's records come between those of the owner."""
        left = list(theirs) if self.former else []
        await self.owner()

        def before() -> None:
            if left:
                self.former[who % len(self.former)].late(left.pop())

        self.log.before = before
        await self._write(mine)
        self.log.before = lambda: None

    async def _wake(self, changes: list[Change], who: int) -> None:
        """A former owner goes on as if nothing had happened, until it notices."""
        if self.former:
            with pytest.raises(Superseded):
                await self.former.pop(who % len(self.former)).write(*changes)

    async def _take_over(self, same_disk: bool, late: list[Change] | None) -> None:
        """late: comes from the owner until then, after its successor has recovered."""
        before = self.own
        disk = self.former[0].store if same_disk and self.former else None
        taken = Owner(self.log, disk).recover()
        if before is not None:
            self.former.append(before)
            if late:
                before.late(*late)
                self.truth.update(dict(late))
        self.former = [one for one in self.former if one.store is not taken.store]
        self.own = await taken.claim()
        self.safe = self.log.end

    async def _compact(self, until: int) -> None:
        # Whoever may go on reads a removal before it is forgotten (`store.MAX_AGE`).
        stores = [self.follower, *(one.store for one in self.former[:1])]
        read = min(-1 if (at := store.reached(0)) is None else at for store in stores)
        self.log.compact(min(until, self.safe), read + 1)

    async def _follow(self, until: int) -> None:
        """Somebody recovers from a part of the log, compacted or not, and from the rest later."""
        reached = self.follower.reached(0) or 0
        part = [one for one in self.log.records if one.offset < reached + until]
        self.follower.take(0, part)


@given(steps=steps)
@example(
    steps=[
        ("write", [(b"a", b"1")]),
        ("cut off", [(b"a", None)]),
        ("follow", 3),
        ("compact", 3),
        ("take over", True, None),
    ]
)
@settings(max_examples=300)
async def test_every_reader_ends_with_the_rightful_rows(steps: list[tuple[Any, ...]]) -> None:
    """Whoever reads the log, whole or in parts, before or after compaction, and the owner itself:
    all have what the owners wrote in their times, and nothing of what came too late."""
    story = Story()
    rows: dict[bytes, bytes] = {}
    for step in steps:
        await story.play(step)
        rows = {key: value for key, value in story.truth.items() if value is not None}
        assert read(story.log.records) == rows
        if story.own is not None:
            assert story.own.rows() == rows
    await story._follow(10**6)
    assert shown(story.follower) == rows
