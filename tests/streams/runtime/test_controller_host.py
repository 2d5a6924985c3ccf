"""What must hold of the controller's host: it claims the accounts first, and lets go of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas import Rejected, ShareGrant, ShareReport, ShareUse
from schemas.wire import decode, encode
from streams.runtime.control_plane import ControlPlane
from streams.runtime.controller_host import ACCOUNTS_KEY, ControllerHost
from streams.state.fence import is_claim
from streams.state.ownership import Superseded
from streams.state.store import MemoryStore
from tests.support.recorded import TOPICS, record
from tests.support.router_config import router_config, router_parts
from tests.support.shared_log import SharedLog


class Process:
    """A host with its own store over a log that several processes share."""

    def __init__(self, log: SharedLog, folder: Path) -> None:
        config = router_config(folder)
        self.store = MemoryStore()
        control = ControlPlane(config, router_parts(), "control")
        self.partitions = 2

        async def in_use(_: int) -> int:
            return self.partitions

        self.host = ControllerHost(
            config, TOPICS, self.store, control, log.outbox(), log.logs(), in_use
        )

    async def report_one(self, number: int, share: int, sequence: int = 1) -> None:
        """One partition reports, under its key."""
        uses = {
            name: ShareUse(share=share * times, reserved=0, spent=0)
            for name, times in (("small", 1), ("large", 2))
        }
        one = ShareReport(partition=number, sequence=sequence, arrivals=0, models=uses)
        await self.host.follow([record(0, encode(one), key=b"%d" % number)])

    async def report(self, sequence: int, spent: int = 0) -> None:
        """Both partitions report; the first has spent something on "small" and wants more."""
        own = ShareUse(share=500, reserved=0, spent=spent, wanted=300, smallest=100)
        idle = ShareUse(share=500, reserved=0, spent=0)
        large = ShareUse(share=1_000, reserved=0, spent=0)
        reports = [
            ShareReport(
                partition=number,
                sequence=sequence,
                arrivals=0,
                models={"small": small, "large": large},
            )
            for number, small in enumerate((own, idle))
        ]
        await self.host.follow(
            [record(2 * sequence + i, encode(one)) for i, one in enumerate(reports)]
        )


def keys(log: SharedLog) -> list[bytes | None]:
    """Of what was sent, without the claims' tokens."""
    return [b"claim" if is_claim(one.key) else one.key for one in log.records]


@pytest.fixture
def log() -> SharedLog:
    return SharedLog()


@pytest.fixture
def process(log: SharedLog, tmp_path: Path) -> Process:
    return Process(log, tmp_path)


async def test_accounts_are_claimed_and_written_before_grants(
    process: Process, log: SharedLog
) -> None:
    """The claim comes first, the grants after the accounts that they follow from."""
    assert keys(log) == []
    await process.report(1, 450)
    assert keys(log) == [b"claim", ACCOUNTS_KEY, b"1"]  # the idle partition gives


async def test_a_host_that_is_superseded_grants_nothing(
    process: Process, log: SharedLog, tmp_path: Path
) -> None:
    """Another one has claimed the accounts since; the former learns of it with its next write."""
    await process.report(1)
    await Process(log, tmp_path).report(1)
    end = log.end
    with pytest.raises(Superseded):
        await process.report(2, 450)
    assert keys(log)[end:] == [ACCOUNTS_KEY]


async def test_a_released_controller_claims_again(process: Process, log: SharedLog) -> None:
    """Heartbeats of one that is released, or has not begun, write nothing."""
    await process.host.heartbeat()
    assert keys(log) == []
    await process.report(1)
    await process.host.release()
    end = log.end
    await process.host.heartbeat()
    assert log.end == end
    await process.report(2)
    assert keys(log).count(b"claim") == 2


async def test_a_partition_that_was_added_gets_its_shares_by_grant(
    process: Process, log: SharedLog
) -> None:
    """It reports, and others give to it; one beyond those in use is refused."""
    for number in (0, 1):
        await process.report_one(number, 500)
    process.partitions = 3
    end = log.end
    await process.report_one(2, 0)
    # Nothing is free before the others have confirmed that they own less.
    assert set(keys(log)[end:]) == {ACCOUNTS_KEY, b"0", b"1"}
    grants = [decode(ShareGrant, one.value) for one in log.records[-2:]]
    assert all(grant.models["small"] < 500 for grant in grants)
    await process.report_one(3, 0)
    assert "there are 3 partitions" in decode(Rejected, log.records[-1].value).reason
