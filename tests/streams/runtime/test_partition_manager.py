"""What must hold of owned partitions: claimed once, kept until revoked, and told of commands."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import pytest
from msgspec import structs

from streams.runtime.control_plane import ControlPlane
from streams.runtime.partition_manager import PartitionManager, Revoked
from streams.runtime.topic_guard import TopicGuard
from streams.state.changelog import division
from streams.state.ownership import Superseded
from streams.state.rows import STATE_KEY, Row
from streams.state.store import MemoryStore
from tests.streams.runtime.test_control_plane import NEWCOMER, command
from tests.support.patience import PATIENCE
from tests.support.recorded import Unfenced, receipt
from tests.support.router_config import router_config, router_parts
from tests.support.shared_log import LOG, SharedLog

LAST_WRITE = "streams.state.partition.LAST_WRITE"


class Process:
    """A manager with its own store over a log that several processes share."""

    def __init__(self, log: SharedLog, folder: Path, configured: int = 2) -> None:
        config = router_config(folder)
        topics = structs.replace(config.topics, partitions=configured)
        config = structs.replace(config, topics=topics)
        self.control = ControlPlane(config, router_parts(), "control")
        self.store = MemoryStore()
        guard = Mock(spec=TopicGuard, ids={"queries": "id"}, check_state=AsyncMock())
        self.manager = PartitionManager(
            LOG, self.store, self.control, log.outbox(), log.logs(), guard
        )


@pytest.fixture
def log() -> SharedLog:
    return SharedLog()


@pytest.fixture
def process(log: SharedLog, tmp_path: Path) -> Process:
    return Process(log, tmp_path)


def claims(log: SharedLog) -> int:
    return sum((record.key or b"").startswith(b"claim/") for record in log.records)


async def test_a_partition_is_claimed_and_loaded_once(process: Process, log: SharedLog) -> None:
    """However many ask for it at the same time."""
    one, other = await asyncio.gather(process.manager.get(0), process.manager.get(0))
    assert one is other is await process.manager.get(0)
    assert process.manager.owned() == [one]
    assert claims(log) == 1
    assert one.ledger.share.tolist() == [500, 1_000]


async def test_a_partition_is_loaded_beside_the_event_loop(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats come from there, and there may be a million rows. A command that comes meanwhile
    counts."""
    moved, scan = threading.Event(), process.store.scan

    def slow(partition: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        assert moved.wait(PATIENCE), "the event loop stands still"
        return scan(partition, prefix)

    monkeypatch.setattr(process.store, "scan", slow)
    asked = asyncio.create_task(process.manager.get(0))
    async with asyncio.timeout(PATIENCE):
        while not process.manager._one_load.locked():
            await asyncio.sleep(0)
    process.control.apply_command(command(NEWCOMER, 4))
    moved.set()
    partition = await asked
    assert (partition.control_version, list(partition.ledger.names)[-1]) == (5, "new")


async def test_a_revoked_partition_writes_nothing(process: Process, log: SharedLog) -> None:
    """The next time it is claimed anew; who still holds the old one sees that it is not owned."""
    old = await process.manager.get(0)
    await process.manager.revoke()
    assert (old.owned, process.manager.owned()) == (False, [])
    new = await process.manager.get(0)
    assert new is not old
    assert (new.owned, claims(log)) == (True, 2)


async def test_a_claim_that_is_revoked_under_way_owns_nothing(
    process: Process, log: SharedLog
) -> None:
    """It is waited for; whoever asked is told."""
    asked = asyncio.create_task(process.manager.get(0))
    await asyncio.sleep(0)
    await process.manager.revoke()
    with pytest.raises(Revoked):
        await asked
    assert not process.manager.owned()


async def test_a_revocation_waits_for_a_load_under_way(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread reads the rows, which are closed next, though who asked for it has gone."""
    began, may, scan = threading.Event(), threading.Event(), process.store.scan

    def slow(partition: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        began.set()
        assert may.wait(PATIENCE)
        return scan(partition, prefix)

    monkeypatch.setattr(process.store, "scan", slow)
    asked = asyncio.create_task(process.manager.get(0))
    await asyncio.to_thread(began.wait, PATIENCE)
    asked.cancel()
    revoked = asyncio.create_task(process.manager.revoke())
    done, _ = await asyncio.wait([revoked], timeout=0.05)
    assert not done
    may.set()
    await revoked
    assert not process.manager.owned()


async def test_the_next_owner_supersedes(process: Process, log: SharedLog, tmp_path: Path) -> None:
    """It loads what was committed; the former one can write no more."""
    old = await process.manager.get(0)
    old.record_settlement(3)
    await old.commit({})
    new = await Process(log, tmp_path).manager.get(0)
    assert new.settled == 3
    with pytest.raises(Superseded):
        await old.commit({})


async def test_a_partition_goes_though_its_last_write_fails(
    process: Process, log: SharedLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another owner is there already, or what was decided does not leave in time."""
    partition = await process.manager.get(0)
    partition.mark_published("queries", 3, [])
    await Process(log, tmp_path).manager.get(0)
    await process.manager.revoke()
    assert (partition.owned, process.manager.owned()) == (False, [])
    monkeypatch.setattr(LAST_WRITE, 0.01)
    stuck = await process.manager.get(0)
    stuck.record_decisions("queries", {9: Row(receipt=receipt(9))})
    await process.manager.revoke()
    assert (stuck.owned, process.manager.owned()) == (False, [])


async def test_commands_reach_all_owned_partitions(process: Process) -> None:
    """An account for the new model, and the version that the next commit writes."""
    before = await process.manager.get(0)
    process.control.apply_command(command(NEWCOMER, 4))
    after = await process.manager.get(0)
    assert before is after
    assert (after.control_version, list(after.ledger.names)[-1]) == (5, "new")
    await after.commit({})
    assert process.store.read(0, STATE_KEY) is not None


async def test_a_partition_waits_for_the_commands_of_its_last_owner(
    process: Process, log: SharedLog, tmp_path: Path
) -> None:
    """Or its account of a model that is not known here would be lost."""
    old = await process.manager.get(0)
    process.control.apply_command(command(NEWCOMER, 0))
    await old.commit({})
    second = Process(log, tmp_path)
    asked = asyncio.create_task(second.manager.get(0))
    async with asyncio.timeout(PATIENCE):
        while claims(log) < 2:
            await asyncio.sleep(0)
    done, _ = await asyncio.wait([asked], timeout=0.05)
    assert not done
    second.control.apply_command(command(NEWCOMER, 0))
    assert "new" in (await asked).ledger.index


async def test_a_partition_that_was_added_begins_with_nothing(
    process: Process, log: SharedLog, tmp_path: Path
) -> None:
    """The first state of another one says among how many the limits were divided; it is written
    before anything is decided. A process may be configured with more by now."""
    first = await process.manager.get(0)
    assert (first.ledger.share.tolist(), first.sequence) == ([500, 1_000], 1)
    assert division(log.records) == 2
    for number, shares in ((2, [0, 0]), (1, [500, 1_000])):
        later = Process(log, tmp_path, configured=4)
        own = Unfenced(MemoryStore(), log.outbox(), number, LOG)
        later.manager._claim = AsyncMock(return_value=own)  # type: ignore[method-assign]  # the log has one partition
        partition = await later.manager.get(number)
        assert (partition.ledger.share.tolist(), partition.sequence) == (shares, 1)
