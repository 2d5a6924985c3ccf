"""One partition's state while this process owns it: its ledger, its offsets, its open rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from router.arrays import Ints
from router.budget.ledger import Ledger
from schemas.wire import decode, encode
from streams.state.expiry import Deadlines
from streams.state.ownership import IDLE, Ownership
from streams.state.recent_ids import RecentIds, Slot
from streams.state.rows import (
    ROW_PREFIXES,
    SLOT_PREFIX,
    STATE_KEY,
    Log,
    Position,
    Row,
    RowHead,
    State,
    row_head,
    row_key,
    row_position,
    slot_key,
)
from streams.state.store import PartitionStore

STATE_BYTES = 64 << 20
"""Above any state record: it is our own, so its size needs no guard."""


class Unmet:
    """Reservations that found no room, for the next report: nano-units by account."""

    def __init__(self, accounts: int) -> None:
        self.wanted = np.zeros(accounts, dtype=np.int64)
        self.smallest = np.zeros(accounts, dtype=np.int64)

    def add(self, model: int, amount: int) -> None:
        """Note one."""
        self.wanted[model] += amount
        before = self.smallest[model]
        self.smallest[model] = min(before, amount) if before else amount

    def grow(self, accounts: int) -> None:
        """Count for so many accounts; those that there were keep their numbers."""
        more = (0, max(accounts - len(self.wanted), 0))
        self.wanted, self.smallest = np.pad(self.wanted, more), np.pad(self.smallest, more)

    def any(self) -> bool:
        """Tell whether anything is wanted."""
        return bool(self.wanted.any())

    def take(self) -> tuple[Ints, Ints]:
        """Return wanted and smallest, int64[M] each, and begin anew."""
        taken = self.wanted, self.smallest
        self.wanted, self.smallest = np.zeros_like(self.wanted), np.zeros_like(self.smallest)
        return taken


class Partition:
    """The single writer of one partition's rows. Hold `lock` from reading state to `commit`."""

    def __init__(self, ledger: Ledger, ownership: Ownership) -> None:
        """Load what the store of `ownership` has; it has been claimed. `ledger` comes with the
        shares that a partition without a state begins with."""
        number, store = ownership.number, ownership.store
        self.number = number
        self.ledger = ledger
        self.lock = asyncio.Lock()
        self.owned = True
        """False from the moment that it may belong to another process: nothing is written then."""
        self._store = store
        self._ownership = ownership
        found = store.read(number, STATE_KEY)
        state = State() if found is None else decode(State, found, STATE_BYTES)
        self.positions: dict[Log, Position] = {
            "queries": state.queries,
            "deferred": state.deferred,
        }
        self._inherited = {log: position.decided for log, position in self.positions.items()}
        self._left = asyncio.Event()
        self.waiting = 0
        """Queries that wait in `deferred`, as far as this process knows."""
        self.readmitted: dict[Log, int] = {"queries": -1, "deferred": -1, **state.readmitted}
        """Of each log, the last offset whose deferred query has been looked at again."""
        self.settled = state.settled
        self.arrivals = state.arrivals
        self.sequence = state.sequence
        self.granted = state.granted
        self.control_version = state.control
        if found is not None:
            ledger.share[:] = 0  # what it does not tell of has no share before a grant
        ledger.restore(state.accounts)
        self.untold = state.untold
        """Keys of rows that have expired, and whose rejection may not have left."""
        self.unmet = Unmet(len(ledger.names))
        self.recent = RecentIds()
        self.recent.restore(self._slots(), state.recent)
        self._changed_slots: dict[int, Slot] = {}
        self._finished: list[str] = []
        self._half_removed = frozenset(state.removed)
        self.deadlines = Deadlines(self._open_rows())

    def row(self, key: str) -> Row | None:
        """Return the open row of a decided record, or None where it is finished."""
        if not self._is_open(key):
            return None
        data = self._store.read(self.number, key.encode())
        return None if data is None else decode(Row, data)

    def _is_open(self, key: str) -> bool:
        log, offset = row_position(key)
        return key not in self._half_removed and offset <= self.positions[log].decided

    def _open_rows(self) -> Iterator[tuple[str, RowHead]]:
        for prefix in ROW_PREFIXES:
            for key, value in self._store.scan(self.number, prefix):
                if self._is_open(name := key.decode()):
                    yield name, row_head(value)

    def _slots(self) -> dict[int, Slot]:
        return {
            int(key.removeprefix(SLOT_PREFIX)): decode(Slot, value)
            for key, value in self._store.scan(self.number, SLOT_PREFIX)
        }

    def add(self, model: str, carry: bool) -> None:
        """Open an account for a model that is new; it has no share before a grant."""
        if model not in self.ledger.index:
            self.ledger.add(model, carry)
            self.unmet.grow(len(self.ledger.names))

    def limit_tenants(self, accounts: frozenset[str]) -> None:
        """Let the limits of tenants be these (`Ledger.limit_tenants`)."""
        self.ledger.limit_tenants(accounts)
        self.unmet.grow(len(self.ledger.names))

    def remember(self, ids: Iterable[str]) -> None:
        """Know ids again if a client sends them once more; the next commit writes them."""
        self._changed_slots.update(self.recent.add(ids))

    async def commit(self, rows: Mapping[str, Row], removed: Iterable[str] = ()) -> None:
        """Write ahead: new rows by key, the state they add up to, and what is over.

        Returns when the changelog has acknowledged all of it. Raises Superseded or KafkaException
        where it does not (`Ownership.write`): then nothing of it may leave this process.
        """
        over = [*self._half_removed, *self._finished, *removed]
        self._finished = []
        self.sequence += 1
        state = State(
            queries=self.positions["queries"],
            deferred=self.positions["deferred"],
            readmitted=dict(self.readmitted),
            settled=self.settled,
            arrivals=self.arrivals,
            sequence=self.sequence,
            granted=self.granted,
            control=self.control_version,
            recent=self.recent.count,
            accounts=self.ledger.accounts(),
            removed=over,
            untold=self.untold,
        )
        changes: dict[bytes, bytes | None] = {
            key.encode(): encode(row) for key, row in rows.items()
        }
        changes.update((slot_key(i), encode(slot)) for i, slot in self._changed_slots.items())
        self._changed_slots = {}
        changes[STATE_KEY] = encode(state)
        changes.update((key.encode(), None) for key in over)
        await self._ownership.write(changes)
        self._half_removed = frozenset()

    async def confirm(self) -> None:
        """Make sure that what this process knows of the partition is all that there is by now.

        Wanted before a message leaves that no commit has gone ahead of. Raises as `commit`.
        """
        await self._ownership.confirm()

    async def stay(self) -> None:
        """Have an idle owner notice in time what others have written (`Ownership.confirm`)."""
        async with self.lock:
            if self.owned:
                await self._ownership.confirm(IDLE)

    async def has_left(self, key: str) -> bool:
        """Wait until the messages of a record that this process decided have left. Of one that was
        decided before this process owned the partition, tell whether they are known to have.
        """
        log, offset = row_position(key)
        position = self.positions[log]
        while offset > max(position.published, self._inherited[log]):
            await self._left.wait()
        return offset <= position.published

    def mark_published(self, log: Log, offset: int, finished: Iterable[int]) -> None:
        """Note that everything up to `offset` has left, and that `finished` rows are over.

        The next commit says so in the changelog; until then a kill makes these leave again.
        """
        position = self.positions[log]
        position.published = max(position.published, offset)
        self._left.set()
        self._left = asyncio.Event()
        self._finished.extend(row_key(log, each) for each in finished)


def control_version(store: PartitionStore, number: int) -> int:
    """Return the version of the orders that a partition's last owner knew."""
    found = store.read(number, STATE_KEY)
    return 0 if found is None else decode(State, found, STATE_BYTES).control
