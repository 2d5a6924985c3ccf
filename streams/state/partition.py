"""One partition's state while this process owns it: its ledger, its offsets, its open rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from router.arrays import Floats, Ints
from router.budget.holdings import located
from router.budget.ledger import Ledger
from router.budget.shares import apply_grant
from router.policies.floors import Floor
from schemas import Result, ShareGrant
from schemas.share import Game, ImageUse, Outcome, TokenUse
from schemas.wire import encode
from streams.state.deadlines import Deadlines, DecisionRun
from streams.state.in_flight import InFlight
from streams.state.open_rows import OpenRows, load_state
from streams.state.ownership import IDLE, LAST_WRITE, Ownership
from streams.state.progress import Progress
from streams.state.publication import Publication
from streams.state.recent_ids import IdRow, RecentIds
from streams.state.reporting import ArrivalSample, HeldBack, Newest, UnmetDemand
from streams.state.rows import (
    STATE_KEY,
    Log,
    Position,
    Row,
    State,
    failover_key,
    id_row_key,
    row_key,
    row_position,
)


class Partition:
    """The single writer of one partition's rows. Hold `lock` from reading state to `commit`.

    Everything that changes it is a method: nothing outside this class assigns its attributes or
    changes what they hold. What a method records is written by the next `commit`; a kill before
    that undoes it.

    Size: everything here is written by one commit, and most methods are of a few lines.
    """

    def __init__(self, ledger: Ledger, ownership: Ownership) -> None:
        """Load a partition that has been claimed.

        Args:
            ledger: With the shares that a partition without a state record begins with.
            ownership: Of the partition; its store holds the rows.
        """
        number, store = ownership.number, ownership.store
        found = load_state(store, number)
        state = State() if found is None else found
        if found is not None:
            ledger.share[:] = 0  # accounts that it does not name have no share before a grant
        ledger.restore(state.accounts)
        self.number = number
        self.ledger = ledger
        self.lock = asyncio.Lock()
        self.owned = True
        """False from the moment that it may belong to another process: nothing is written then."""
        self.waiting = 0
        """Queries that wait in `deferred`, as far as this process knows."""
        self.unmet = UnmetDemand(len(ledger.names))
        self.sample = ArrivalSample()
        self.games = Newest[Game]()
        self.token_uses = Newest[TokenUse]()
        self.image_uses = Newest[ImageUse]()
        self.outcomes = Newest[Outcome]()
        self._held_back = HeldBack()
        self._ownership = ownership
        self._progress = Progress.of(state)
        self._publication = Publication(self._progress.positions)
        self._rows = OpenRows(
            store, number, self._progress.positions, frozenset(state.removed), state.sequence
        )
        self.recent = RecentIds()
        self.recent.restore(self._rows.id_rows(), state.recent)
        self.in_flight = InFlight()
        self.deadlines = Deadlines(self.in_flight.loaded(self._rows.heads()))
        self.failovers: dict[str, tuple[str, Row]] = {
            row.receipt.decision_id: (key, row) for key, row in self._rows.failovers()
        }
        """Key and row of queries that are to be decided again, by the id of the failed decision."""
        self._changed_id_rows: dict[int, IdRow] = {}
        self._undone, self._finished = self._rows.undone()

    # Reading

    @property
    def positions(self) -> Mapping[Log, Position]:
        """How far each log has been decided and published."""
        return self._progress.positions

    @property
    def retried(self) -> Mapping[Log, int]:
        """Of each log, the last offset whose deferred query has been retried; -1 before."""
        return self._progress.retried

    @property
    def settled(self) -> int:
        """Last offset of `results` that has been settled, -1 before the first."""
        return self._progress.settled

    @property
    def arrivals(self) -> int:
        """Number of queries that were put before the policy."""
        return self._progress.arrivals

    @property
    def sequence(self) -> int:
        """Number of commits."""
        return self._progress.sequence

    @property
    def granted(self) -> int:
        """Sequence of the last grant applied."""
        return self._progress.granted

    @property
    def control_version(self) -> int:
        """Version of the commands that this partition has followed."""
        return self._progress.control_version

    @property
    def unpublished_expirations(self) -> list[str]:
        """Keys of expired rows whose rejection may not have been published."""
        return self._progress.unpublished_expirations

    def row(self, key: str) -> Row | None:
        """Return the open row of a decided record, or None where it is finished."""
        return self._rows.get(key)

    @property
    def overdue(self) -> float:
        """Seconds for which its changelog has been due to acknowledge something."""
        return self._ownership.overdue

    # Decisions

    def reserve(self, accounts: Ints, amounts: Ints) -> None:
        """Reserve money, as `Ledger.reserve`."""
        self.ledger.reserve(accounts, amounts)

    def record_unmet(self, account: int, amount: int) -> None:
        """Record that an account had no room for a reservation of `amount` nano-units."""
        self.unmet.add(account, amount)
        self._held_back.add(account, int(self.ledger.window[account]))

    def record_retried(self, offsets: Mapping[Log, int]) -> None:
        """Record the last offsets whose deferred queries have been retried."""
        self._progress.advance_retried(offsets)

    def record_decisions(self, log: Log, rows: Mapping[int, Row]) -> None:
        """Record the decisions of a chunk, for which money has been reserved.

        Args:
            log: The decided records' log.
            rows: By offset; at least one, all decided at the same moment.
        """
        first, last = min(rows), max(rows)
        self._progress.positions[log].decided = last
        receipts = [row.receipt for row in rows.values()]
        release_at = max(row.release_at for row in rows.values())
        run = DecisionRun(rows[first].receipt.decided_at, log, first, last, release_at)
        self.deadlines.add(run)
        deferred = sum(receipt.decision == "deferred" for receipt in receipts)
        for receipt in receipts:
            self.in_flight.begin(receipt)
        if log == "queries":
            self.waiting += deferred
            self.remember(
                {
                    receipt.id: receipt.source.offset
                    for receipt in receipts
                    if receipt.decision in ("routed", "deferred")
                }
            )
        else:
            self.waiting += deferred - len(rows)
            self.forget(receipt.id for receipt in receipts if receipt.decision == "rejected")

    def record_arrivals(
        self,
        tables: Sequence[Floats],
        tenants: Sequence[str | None],
        floors: Sequence[Floor] = (),
    ) -> None:
        """Count new queries, and keep their estimates for the next report.

        Args:
            tables: float64[n, M] each, estimated of n queries (`ArrivalSample.add`).
            tenants: Of the n queries; None for nobody.
            floors: Of the n queries; empty where the policy keeps none.
        """
        self._progress.arrivals += len(tables[0])
        self.sample.add(tables, tenants, floors)

    def remember(self, ids: Mapping[str, int] | Iterable[str]) -> None:
        """Recognise ids (as `RecentIds.add`) if a client sends them once more."""
        self._changed_id_rows.update(self.recent.add(ids))

    def forget(self, ids: Iterable[str]) -> None:
        """Take these ids for new if a client sends them once more: they ended without answer."""
        self._changed_id_rows.update(self.recent.forget(ids))

    # Results and deadlines

    def charge(self, row: Row, result: Result, cost: int) -> int:
        """Turn the reservation of a row, which this ends, into a charge.

        Args:
            row: An open row; a late result of an expired one is charged, too.
            result: Its result.
            cost: Nano-units.

        Returns:
            Nano-units charged above what was reserved.
        """
        if not row.is_overdue:
            self.in_flight.end(row.receipt)
        for account, window, part in located(row.receipt, self.ledger.index, row.window):
            reserved = 0 if row.expired else part.amount
            self.ledger.settle(account, reserved, part.charge(result, cost), window)
        return max(cost - (0 if row.expired else row.receipt.reserved), 0)

    def record_failover(self, key: str, row: Row) -> dict[str, Row]:
        """Record that the query of a row that ends is to be decided again.

        Returns:
            The rows to commit with its end.
        """
        self.failovers[row.receipt.decision_id] = failover_key(key), row
        return {failover_key(key): row}

    def is_failover(self, decision_id: str) -> bool:
        """Return whether the query of a failed decision waits to be decided again."""
        return decision_id in self.failovers

    def end_failover(self, decision_id: str) -> None:
        """Record that the query of a failed decision is decided again, by the next commit."""
        key, _ = self.failovers.pop(decision_id)
        self._finished.append(key)

    def record_settlement(self, offset: int) -> None:
        """Record that the results up to `offset` have been settled."""
        self._progress.settled = max(self._progress.settled, offset)

    def record_expirations(self, rows: Mapping[str, Row]) -> None:
        """Release the reservations of rows whose deadline has passed, but of those that are held.

        Args:
            rows: By key, marked as expired or held; the rejections of those that are not returned
                are to be published.
        """
        for row in rows.values():
            self.in_flight.end(row.receipt)
            parts = located(row.receipt, self.ledger.index, row.window) if row.expired else ()
            for account, window, part in parts:
                self.ledger.release(account, part.amount, window)
        over = {key: row for key, row in rows.items() if not row.returned}
        self.forget(row.receipt.id for row in over.values())
        self._progress.unpublished_expirations += over

    def expirations_published(self) -> None:
        """Record that the rejections of all expired rows have been published."""
        self._publication.unwritten |= bool(self._progress.unpublished_expirations)
        self._progress.unpublished_expirations = []

    def roll(self, begins: Ints) -> bool:
        """Advance to budget windows, int64[M], and return whether one began (`Ledger.roll`)."""
        return self.ledger.roll(begins)

    # Shares and commands

    def apply_grant(self, grant: ShareGrant) -> None:
        """Take over the shares of a grant, if it is newer than the last one applied."""
        self._progress.granted = apply_grant(self.ledger, self._progress.granted, grant)

    def apply_control(self, version: int) -> None:
        """Record the version of the commands that this process has followed."""
        self._progress.control_version = version

    def record_topics(self, ids: Mapping[str, str]) -> None:
        """Record the ids of the topics that this partition's state refers to, by name."""
        self._progress.topics.update(ids)

    def record_division(self, partitions: int) -> None:
        """Record among how many partitions the limits were divided at first."""
        self._progress.partitions = partitions

    def add_model(self, model: str, carry_over: bool) -> None:
        """Open an account for a new model; it has no share before a grant."""
        if model not in self.ledger.index:
            self.ledger.add(model, carry_over)
            self.unmet.grow(len(self.ledger.names))

    def limit_tenants(self, accounts: frozenset[str]) -> None:
        """Set the limits of tenants (`Ledger.limit_tenants`)."""
        self.ledger.limit_tenants(accounts)
        self.unmet.grow(len(self.ledger.names))

    # Writing and publishing

    async def commit(self, rows: Mapping[str, Row], removed: Iterable[str] = ()) -> None:
        """Write ahead: new rows, the state that they add up to, and the removal of finished rows.

        Args:
            rows: New or changed rows by key.
            removed: Keys of rows that are finished.

        Returns when the changelog has acknowledged everything.

        Raises:
            Superseded: Another process owns the partition.
            KafkaException: The changelog does not accept the records.
        In either case nothing that follows from them may be published.
        """
        finished = [key for key in self._finished if key not in rows]
        over = [*self._rows.half_removed, *finished, *removed]
        rows, self._undone, self._finished = {**self._undone, **rows}, {}, []
        self._publication.unwritten = False
        self._progress.sequence += 1
        state = self._progress.to_state(self.ledger.accounts(), self.recent.count, over)
        changes: dict[bytes, bytes | None] = {
            key.encode(): encode(row.marked_by(state.sequence)) for key, row in rows.items()
        }
        changes.update((id_row_key(i), encode(ids)) for i, ids in self._changed_id_rows.items())
        self._changed_id_rows = {}
        changes[STATE_KEY] = encode(state)
        changes.update((key.encode(), None) for key in over)
        await self._ownership.write(changes)
        self._rows.repaired()

    async def confirm(self) -> None:
        """Make sure that this process still owns the partition, and has seen all of its records.

        Required before a message is published that no commit has gone ahead of. Raises as `commit`.
        """
        await self._ownership.confirm()

    async def heartbeat(self) -> None:
        """Have an idle owner notice in time what others have written (`Ownership.confirm`)."""
        async with self.lock:
            if self.owned:
                await self._ownership.confirm(IDLE)

    async def wait_published(self, key: str) -> bool:
        """Wait until the messages of a record that this process decided have been published.

        Returns:
            Whether they are known to have been: False only for a record that was decided before
            this process owned the partition, and whose messages may be missing.
        """
        return await self._publication.wait(*row_position(key))

    def mark_published(self, log: Log, offset: int, finished: Iterable[int]) -> None:
        """Record that everything up to `offset` has been published.

        The next commit writes it to the changelog; a kill before that has these messages
        published again.

        Args:
            log: The decided records' log.
            offset: The last published one.
            finished: Offsets whose rows are no longer needed.
        """
        self._publication.mark(log, offset)
        self._finished.extend(row_key(log, each) for each in finished)

    def record_waiting(self, count: int) -> None:
        """Record how many queries wait in `deferred`, as a pass over them begins."""
        self.waiting = count
        self._held_back.clear()

    def waits_for_new_window(self, begins: Ints) -> bool:
        """Return whether queries wait that a window held back which has ended by now.

        Args:
            begins: int64[M], the begin of each limit's window now.
        """
        return self.waiting > 0 and self._held_back.has_ended(self.ledger.begins_of(begins))

    async def revoke(self) -> None:
        """Decide nothing from then on; wait for what is being published; write how far it came.

        Raises as `commit`, and TimeoutError where it takes longer than `LAST_WRITE`.
        """
        async with self.lock:
            self.owned = False
        async with asyncio.timeout(LAST_WRITE), self.lock:
            await self._publication.complete()
            if self._publication.unwritten:
                await self.commit({})
