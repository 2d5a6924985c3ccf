"""What must hold of both table storages: rows by partition, never behind what they have reached."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from faust.types import TP
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.config.connection import StoreKind
from streams.state.fence import OWNER, Fence, claim_key
from streams.state.local_tables import tables_of
from streams.state.store import MAX_AGE, PartitionStore, RocksStore
from tests.support.patience import PATIENCE

LOG = "changelog"


def new_store(kind: StoreKind, folder: Path) -> PartitionStore:
    """The storage of a table, made as a process makes it."""
    return tables_of(kind, folder).partitions


@pytest.fixture(params=["memory", "rocksdb"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PartitionStore]:
    made = new_store(request.param, tmp_path)
    yield made
    made.close()


def event(
    offset: int, key: bytes, value: bytes | None, partition: int = 0, owner: bytes = b""
) -> Any:
    message = SimpleNamespace(
        partition=partition,
        tp=TP(LOG, partition),
        offset=offset,
        key=key,
        value=value,
        headers=[(OWNER, owner)] if owner else [],
    )
    return SimpleNamespace(message=message)


def recover(store: PartitionStore, *events: Any) -> None:
    runs: defaultdict[int, list[Any]] = defaultdict(list)
    for one in events:
        runs[one.message.partition].append(one.message)
    for partition, records in runs.items():
        store.take(partition, records)


def test_rows_belong_to_their_partition(store: PartitionStore) -> None:
    """The same key in two partitions is two rows; a removed row is gone, a missing one is None."""
    store.write(0, {b"a": b"1", b"b": b"2"}, 5)
    store.write(1, {b"a": b"3"}, 9)
    store.write(0, {b"b": None, b"never": None}, 7)
    assert (store.read(0, b"a"), store.read(1, b"a")) == (b"1", b"3")
    assert store.read(0, b"b") is None
    assert dict(store.scan(0, b"")) == {b"a": b"1"}
    assert dict(store.scan(2, b"")) == {}
    offsets = [store.reached(n) for n in range(3)]
    assert offsets == [7, 9, None]


def test_late_records_are_passed_over(store: PartitionStore) -> None:
    """What the changelog delivers again after newer rows were written here changes nothing."""
    store.write(0, {b"a": b"new", b"b": None}, 10)
    recover(store, event(9, b"a", b"old"), event(10, b"b", b"old"))
    assert dict(store.scan(0, b"")) == {b"a": b"new"}
    assert store.reached(0) == 10
    recover(store, event(10, b"a", b"old"), event(11, b"a", b"newer"))
    assert store.read(0, b"a") == b"newer"
    assert store.reached(0) == 11


def test_one_partition_s_lateness_is_not_another_s(store: PartitionStore) -> None:
    """Offsets are compared within a partition, in one batch of both."""
    store.write(0, {b"a": b"new"}, 10)
    recover(store, event(3, b"a", b"old", 0), event(3, b"a", b"first", 1))
    assert (store.read(0, b"a"), store.read(1, b"a")) == (b"new", b"first")
    offsets = [store.reached(n) for n in range(2)]
    assert offsets == [10, 3]


def test_what_is_not_the_owner_s_is_passed_over(store: PartitionStore) -> None:
    """Rows from before the first claim count, then those of the last one's owner; the offset goes
    on over void records, and their keys are remembered until the owner has written them again."""
    recover(
        store,
        event(0, b"a", b"before claims"),
        event(1, claim_key(b"x"), b""),
        event(2, b"b", b"of x", owner=b"x"),
        event(3, claim_key(b"y"), b""),
        event(4, b"b", None, owner=b"x"),
        event(5, b"c", b"of x", owner=b"x"),
        event(6, b"c", b"of y", owner=b"y"),
        event(7, b"a", b"of nobody"),
    )
    assert dict(store.scan(0, b"")) == {b"a": b"before claims", b"b": b"of x", b"c": b"of y"}
    assert store.reached(0) == 7
    assert store.fence(0) == Fence(b"y", {b"a", b"b"})
    recover(store, event(6, claim_key(b"x"), b""), event(8, b"b", b"of y", owner=b"y"))
    assert store.fence(0) == Fence(b"y", {b"a"})
    assert store.fence(1) == Fence()


changes = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.none() | st.binary(max_size=3)), max_size=12
)


@given(log=changes, cuts=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=5))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_recovery_gives_the_fold_of_the_changelog(
    store: PartitionStore,
    fresh: Iterator[int],
    log: list[tuple[bytes, bytes | None]],
    cuts: list[tuple[int, int]],
) -> None:
    """Runs of the changelog may come in any sizes and again: it ends as one reading would."""
    number = next(fresh)
    events = [event(offset, *change, number) for offset, change in enumerate(log)]
    reached = 0
    for back, length in [*cuts, (0, len(log))]:
        start = max(reached - back, 0)
        recover(store, *events[start : start + length])
        reached = max(reached, min(start + length, len(log)))
    kept = {key: value for key, value in dict(log).items() if value is not None}
    assert dict(store.scan(number, b"")) == kept
    assert store.reached(number) == (len(log) - 1 if log else None)


@pytest.fixture
def fresh() -> Iterator[int]:
    """Partitions that no example has used, as all of them share one storage."""
    return count()


@pytest.fixture
def rocks(tmp_path: Path) -> Callable[[], RocksStore]:
    def make() -> RocksStore:
        made = new_store("rocksdb", tmp_path)
        assert isinstance(made, RocksStore)
        return made

    return make


async def test_rocksdb_goes_on_where_it_was_closed(rocks: Callable[[], RocksStore]) -> None:
    """After a restart rows and offsets are there, so only what is missing is recovered."""
    before = rocks()
    before.write(0, {b"a": b"1"}, 4)
    before.write(2, {b"b": b"2"}, 6, Fence(b"x", {b"c"}))
    before.close()
    after = rocks()
    assert [dict(after.scan(n, b"")) for n in range(3)] == [{b"a": b"1"}, {}, {b"b": b"2"}]
    assert [after.reached(n) for n in range(3)] == [4, None, 6]
    assert [after.fence(n) for n in range(3)] == [Fence(), Fence(), Fence(b"x", {b"c"})]
    after.close()


@pytest.mark.parametrize("kind", ["memory", "rocksdb"])
async def test_rows_that_were_left_for_long_are_recovered_anew(
    kind: StoreKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker may have forgotten by then that one was removed."""
    first = new_store(kind, tmp_path)
    first.write(0, {b"a": b"1"}, 4, Fence(b"x", {b"c"}))
    again = first
    if kind == "rocksdb":
        first.close()
        again = new_store(kind, tmp_path)
    for seconds, reached in ((MAX_AGE - 60, 4), (MAX_AGE + 60, None)):
        monkeypatch.setattr("time.time", Mock(return_value=time.time() + seconds))
        again.close()
        assert again.reached(0) == reached
        monkeypatch.undo()
    assert dict(again.scan(0, b"")) == {}
    assert again.fence(0) == Fence()
    again.close()


def test_rocksdb_lets_go_of_what_it_has_opened(rocks: Callable[[], RocksStore]) -> None:
    """Another process may open it then; it may come back later."""
    mine, theirs = rocks(), rocks()
    mine.write(0, {b"a": b"1"}, 4)
    with pytest.raises(Exception, match=r"(?i)lock"):
        theirs.read(0, b"a")
    scan = mine.scan(0, b"")
    assert next(scan) == (b"a", b"1")
    del scan
    mine.close()
    assert theirs.read(0, b"a") == b"1"
    theirs.write(0, {b"a": b"newer"}, 5)
    theirs.close()
    assert mine.read(0, b"a") == b"newer"
    mine.close()


def test_memory_is_gone_with_the_process(tmp_path: Path) -> None:
    """A new one knows nothing, and so recovers everything."""
    new_store("memory", tmp_path).write(0, {b"a": b"1"}, 4)
    again = new_store("memory", tmp_path)
    assert (again.read(0, b"a"), again.reached(0)) == (None, None)


async def test_rocksdb_is_opened_once(store: PartitionStore) -> None:
    """Whatever threads ask first: partitions are loaded beside the event loop."""
    gate = threading.Barrier(8)

    def ask(partition: int) -> int | None:
        gate.wait(PATIENCE)
        return store.reached(partition)

    for partition in range(20):
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask, [partition] * 8)) == {None}
