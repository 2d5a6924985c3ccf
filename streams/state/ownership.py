"""Ownership of one changelog partition by one process: claimed, used to write, and lost.

An owner is the only one whose records follow on one another in the log. So it knows, from the
offset of each acknowledgement, whether anybody else has written since: then it reads what, and
goes on where that was void, or learns that it has been superseded. What was acknowledged at the
offset that was due had no claim before it, so a later owner has read it before it decided
anything: whatever follows from it may leave, even if this process is paused in between.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from itertools import islice

from streams.kafka.logs import Logs, Record
from streams.kafka.producer import Outbox
from streams.state.fence import OWNER, Fence, claim_key, is_claim
from streams.state.store import PartitionStore, Rows

logger = logging.getLogger(__name__)

IDLE = 60.0
"""Seconds after which an idle owner writes an empty row: keys that a former owner has shadowed must
be written again within the changelog's compaction lag."""
LAST_WRITE = 10.0
"""Seconds for which a partition that goes is waited for. What it leaves undone comes again."""
BATCH = 5000
"""Records that are taken from the changelog at a time."""
_HEARTBEAT_KEY = b"owner"


class Superseded(Exception):
    """Another process owns the partition: nothing of what was written last may leave."""


class Ownership:
    """One partition of one changelog, whose single writer this process is."""

    def __init__(
        self, changelog: str, number: int, store: PartitionStore, outbox: Outbox, logs: Logs
    ) -> None:
        """Nothing is written before `claim`. `store` is what has been recovered of the log."""
        self.number = number
        self.store = store
        self.token = secrets.token_hex(8).encode()
        self._changelog = changelog
        self._outbox = outbox
        self._logs = logs
        self._headers = [(OWNER, self.token)]
        self._reached = -1
        self._shadowed_keys: set[bytes] = set()
        self._due = IDLE  # monotonic time of the next acknowledgement, or of a heartbeat's write
        self._released = False
        self._lock = asyncio.Lock()

    @property
    def overdue(self) -> float:
        """Seconds for which an acknowledgement, or an idle owner's heartbeat, has been due."""
        return max(time.monotonic() - self._due, 0.0)

    async def claim(self) -> None:
        """Become the owner, and bring the store to the place of the claim.

        Raises Superseded where somebody has claimed it after this, RuntimeError where the log ends
        before what the store has, LogError and KafkaException where it cannot be read or written.
        """
        reached = self.store.reached(self.number)
        self._reached = -1 if reached is None else reached
        key, who = claim_key(self.token), f"{socket.gethostname()}, process {os.getpid()}".encode()
        async with self._lock:
            last = await self._send({key: who})
            if last == self._reached + 1:
                ours = Record(self._changelog, self.number, last, 0, key, who, self._headers)
                self.store.take(self.number, [ours])
                self._has_taken(last, ours)
            else:
                await self._catch_up(last)
            await self._rewrite_shadowed_keys()

    async def write(self, rows: Rows) -> None:
        """Write rows to the changelog and, once it has acknowledged them, to the store.

        Raises Superseded where this process is the owner no longer, KafkaException where the
        changelog does not take them: nothing that follows from them may leave then.
        """
        async with self._lock:
            await self._write(rows)

    async def confirm(self, idle: float = 0.0) -> None:
        """Make sure that this process is the owner now. Raises as `write`.

        Args:
            idle: Seconds for which an earlier write is proof enough.

        Does nothing after `release`.
        """
        async with self._lock:
            if not self._released and time.monotonic() >= self._due - IDLE + idle:
                await self._write({_HEARTBEAT_KEY: b"{}"})

    async def release(self) -> None:
        """Wait for what is being written; `confirm` writes no more."""
        self._released = True
        async with self._lock:
            pass

    async def _write(self, rows: Rows) -> None:
        await self._append(rows)
        await self._rewrite_shadowed_keys()

    async def _append(self, rows: Rows) -> None:
        last = await self._send(rows)
        if last == self._reached + len(rows):
            self.store.write(
                self.number, rows, last, Fence(self.token) if self._shadowed_keys else None
            )
            self._reached, self._shadowed_keys = last, set()
        else:
            await self._catch_up(last)

    async def _send(self, rows: Rows) -> int:
        self._due = time.monotonic()
        batch = self._outbox.batch()
        for key, value in rows.items():
            batch.send(self._changelog, value, key, self.number, self._headers)
        last = await batch.delivered()
        self._due = time.monotonic() + IDLE
        return last

    async def _catch_up(self, last: int) -> None:
        """Apply what the log holds beyond the store, our own records included."""
        if 0 <= last <= self._reached:
            raise RuntimeError(
                f"{self._changelog}, partition {self.number}: a record came to offset {last}, but "
                f"the log had reached {self._reached} before: has the topic been deleted and made "
                "again?"
            )
        # There may be many, and heartbeats come from the event loop. Who is cancelled waits for
        # the thread: it would go on writing beside the next owner.
        reading = asyncio.create_task(asyncio.to_thread(self._read_on))
        try:
            await asyncio.shield(reading)
        except asyncio.CancelledError:
            await asyncio.gather(reading, return_exceptions=True)
            raise

    def _read_on(self) -> None:
        """Take all that the log holds beyond the store now."""
        span = self._logs.spans(self._changelog)[self.number]
        span = span._replace(start=max(span.start, self._reached + 1))
        claim: Record | None = None
        found = iter(self._logs.read([span]))
        while records := list(islice(found, BATCH)):
            self.store.take(self.number, records)
            claim = next((one for one in reversed(records) if is_claim(one.key)), claim)
        self._has_taken(span.end - 1, claim)

    def _has_taken(self, reached: int, claim: Record | None) -> None:
        """Know where the store is, and whose it is. claim: The last one of what it has taken."""
        fence = self.store.fence(self.number)
        self._reached, self._shadowed_keys = reached, fence.shadowed_keys
        if fence.owner != self.token:
            assert claim is not None  # there is no other owner without one
            raise Superseded(
                f"{self._changelog}, partition {self.number}: {(claim.value or b'').decode()} has "
                f"taken it over (offset {claim.offset}) while this process was paused or cut off; "
                "nothing that follows from what it was writing has left"
            )

    async def _rewrite_shadowed_keys(self) -> None:
        """Write the keys again that void records would make compaction remove."""
        while self._shadowed_keys:
            logger.warning(
                "%s, partition %d: %d rows that a former owner wrote too late are void",
                self._changelog,
                self.number,
                len(self._shadowed_keys),
            )
            rows = {key: self.store.read(self.number, key) for key in self._shadowed_keys}
            await self._append(rows)
