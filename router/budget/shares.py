"""How one limit is shared by many partitions without a lock (escrow: O'Neil 1986).

A partition may spend up to its share of each account and asks nobody. One controller, the single
writer of a `ShareAllocator`, moves shares by grants and learns of them from reports. At every
moment the sum of what the partitions may believe they own stays within the limit, though reports
and grants come late, twice, in another order or not at all, and though either side is killed:

1. A grant names a partition's shares of all accounts and a sequence number that rises by one.
   `apply_grant` takes it once, passes over older ones, and never cuts a share below what is drawn.
2. A report tells the shares and the sequence of the last grant applied. It leaves only after both
   are in the partition's changelog, so no kill takes back what was reported. It lists every account
   that the partition knows: one that it leaves out keeps its share and is granted nothing.
3. At most one grant to a partition is open (not yet reported as applied). While it is, the
   partition counts with the larger of its old share and the grant. So growing needs free money
   beforehand; what a smaller grant frees is free once a report confirms it.
4. A report that shows an open grant as not applied makes the same grant leave again, unchanged.
5. The controller writes `snapshot()` to its changelog before grants leave. Without a snapshot it
   adopts the reported shares, and grants nothing before each partition has reported.
6. A share is a slice of every window's limit, so roll-over needs no message. But money freed in a
   later window must not be spent in an earlier one: a grant names the latest window known, and
   the partition goes on to it before it takes the share.

Reports are believed within what was granted; others are refused. Reports of one partition are
ordered by (granted, sequence). See docs/decisions/0004-shares.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from router.budget.allocation import PartitionDemand, allocate
from router.budget.ledger import Ledger, owner
from schemas.invalid import wrong
from schemas.share import ShareGrant, ShareReport, ShareUse

HALF_LIFE = 10.0
"""Seconds after which a partition's past demand counts half."""
UNREPORTED = ShareUse(share=0, reserved=0, spent=0)


def apply_grant(ledger: Ledger, granted: int, grant: ShareGrant) -> int:
    """Apply a grant to a partition's ledger if it is newer than the last one.

    A share is not cut below what is drawn of it. Accounts that only one side knows stay as they
    are.

    Args:
        ledger: The partition's ledger.
        granted: Sequence of the last grant applied.
        grant: The grant.

    Returns:
        The sequence of the last grant applied: to be written to the changelog with the ledger's
        accounts before it is reported.
    """
    if grant.sequence <= granted:
        return granted
    known = [(ledger.index[name], name) for name in grant.models if name in ledger.index]
    place = {ledger.names[i]: at for at, i in enumerate(ledger.models.tolist())}
    begins = np.zeros(len(place), dtype=np.int64)
    for _, name in known:
        at = place[owner(name)[0]]
        begins[at] = max(int(begins[at]), grant.windows.get(name, 0))
    ledger.roll(begins)
    drawn = ledger.drawn()
    for i, name in known:
        ledger.share[i] = max(grant.models[name], min(int(ledger.share[i]), int(drawn[i])))
    return grant.sequence


class _Holder:
    """What the controller knows of one partition."""

    def __init__(
        self, grant: ShareGrant, shares: dict[str, int], is_open: bool, adopted: bool = False
    ) -> None:
        self.grant = grant
        self.shares = shares
        self.is_open = is_open
        self.adopted = adopted
        self.last_report: tuple[int, int] | None = None
        self.lost = False
        self.uses: Mapping[str, ShareUse] = {}
        self.fresh: dict[str, int] = {}
        self.demand: dict[str, float] = {}

    def bound(self, account: str) -> int:
        """Return the most that the partition may believe it owns."""
        share = self.shares.get(account, 0)
        return max(share, self.grant.models.get(account, 0)) if self.is_open else share

    def record(self, report: ShareReport) -> None:
        """Store a report that is newer than all before."""
        for name, use in report.models.items():
            before = self.uses.get(name, UNREPORTED if self.last_report else use)
            gone = before.reserved + before.spent if before.window == use.window else 0
            taken = max(use.reserved + use.spent - gone, 0) + use.wanted
            self.fresh[name] = self.fresh.get(name, 0) + taken
        self.last_report = report.granted, report.sequence
        self.uses = report.models

    def decay(self, factor: float) -> None:
        """Halve the weight of past demand by its age, and add what came since."""
        for name in self.demand.keys() | self.fresh.keys():
            self.demand[name] = self.demand.get(name, 0.0) * factor + self.fresh.get(name, 0)
        self.fresh = {}


class ShareAllocator:
    """The controller's accounts: how much of every limit each partition owns."""

    def __init__(self, partitions: int, limits: Mapping[str, int] | None = None) -> None:
        """Begin without knowledge of what partitions own.

        Args:
            partitions: Their number.
            limits: Nano-units by account name (`account_key`). Change them at any time: an account
                that is removed counts as 0; one lowered below what is spent stops, and its shares
                shrink to what is drawn.
        """
        self.limits = dict(limits or {})
        self._holders: list[_Holder | None] = [None] * partitions
        self._windows: dict[str, int] = {}
        self._turn = 0

    @property
    def partitions(self) -> int:
        """Number of partitions."""
        return len(self._holders)

    def grow(self, partitions: int) -> None:
        """Know of partitions that have been added: they own nothing before they report.

        Nothing is granted to anybody before each of them has reported once.

        Args:
            partitions: Their number now; never fewer than before.
        """
        self._holders += [None] * (partitions - len(self._holders))

    def observe(self, report: ShareReport, latest: Mapping[str, int] | None = None) -> None:
        """Take in a report. One that is late or repeated changes nothing.

        Args:
            report: Of one partition.
            latest: The newest window that each model may be in, by the caller's clock.

        Raises:
            Invalid: The report cannot be true; nothing was changed.
        """
        holder = self._check(report, latest or {})
        for name, use in report.models.items():
            self._windows[name] = max(self._windows.get(name, 0), use.window)
        shares = {name: use.share for name, use in report.models.items()}
        if holder is None:
            grant = ShareGrant(partition=report.partition, sequence=report.granted, models=shares)
            holder = _Holder(grant, shares, is_open=False, adopted=True)
            self._holders[report.partition] = holder
        if report.granted == holder.grant.sequence:
            unreported = {name: holder.bound(name) for name in holder.grant.models}
            holder.shares = holder.shares | unreported | shares
            holder.is_open = False
        elif report.granted == holder.grant.sequence - 1:
            holder.lost = holder.is_open
        if holder.last_report is None or (report.granted, report.sequence) > holder.last_report:
            holder.record(report)

    def plan(self, elapsed: float) -> list[ShareGrant]:
        """Decide grants. Write `snapshot()` to the changelog before they leave.

        Args:
            elapsed: Seconds since the previous plan, by which past demand loses weight.
        """
        holders = self._known()
        if len(holders) < len(self._holders):
            return []
        self._turn += 1
        for holder in holders:
            holder.decay(0.5 ** (max(elapsed, 0.0) / HALF_LIFE))
        again = [holder.grant for holder in holders if holder.is_open and holder.lost]
        changes: list[dict[str, int]] = [{} for _ in holders]
        for account in self.accounts():
            demands = [self._demand_of(account, holder) for holder in holders]
            for i, share in allocate(self.limits.get(account, 0), demands, self._turn).items():
                changes[i][account] = share
        fresh = [self._issue(*pair) for pair in zip(holders, changes, strict=True) if pair[1]]
        for holder in holders:
            holder.lost = False
        return again + fresh

    def accounts(self) -> list[str]:
        """Return all accounts with a limit, and those that some partition still owns a share of."""
        owned = (name for holder in self._known() for name in holder.shares if holder.bound(name))
        return sorted({*self.limits, *owned})

    def reported(self) -> set[str]:
        """Return the names of all accounts that some partition has told of."""
        return {name for holder in self._known() for name in holder.uses}

    def granted(self, account: str) -> int:
        """Return the most that all partitions together may believe they own, nano-units."""
        return sum(holder.bound(account) for holder in self._known())

    def remaining(self) -> dict[str, int]:
        """Return the unreserved and unspent part of each limit in its window, as reported."""
        return {
            account: max(
                limit - sum(drawn(self._use(account, holder)) for holder in self._known()), 0
            )
            for account, limit in self.limits.items()
        }

    def snapshot(self) -> dict[str, Any]:
        """Return all that must outlive this process, JSON-ready."""
        rows = [
            holder
            and {
                "grant": msgspec.to_builtins(holder.grant),
                "shares": dict(holder.shares),
                "open": holder.is_open,
            }
            for holder in self._holders
        ]
        return {"windows": dict(self._windows), "partitions": rows}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Replace the state by a `snapshot()`.

        Raises:
            ValueError: It is of more partitions than there are.
        """
        rows = snapshot["partitions"]
        if len(rows) > len(self._holders):
            raise ValueError(
                f"the controller's accounts are of {len(rows)} partitions, the topic has "
                f"{len(self._holders)}: partitions cannot be taken away"
            )
        self._windows = dict(snapshot["windows"])
        for number, row in enumerate(rows):
            if row is not None:
                grant = msgspec.convert(row["grant"], ShareGrant)
                self._holders[number] = _Holder(grant, dict(row["shares"]), row["open"])

    def _known(self) -> list[_Holder]:
        return [holder for holder in self._holders if holder is not None]

    def _check(self, report: ShareReport, latest: Mapping[str, int]) -> _Holder | None:
        if report.partition >= len(self._holders):
            rule = f"there are {len(self._holders)} partitions, counted from 0"
            raise wrong("partition", report.partition, rule)
        for name, use in report.models.items():
            begun = latest.get(owner(name)[0], 0)  # a tenant's account goes with its model's
            if use.window > max(begun, self._windows.get(name, 0)):
                raise wrong(f"models.{name}.window", use.window, "that window has not begun")
        holder = self._holders[report.partition]
        if holder is None:
            return None
        if report.granted > holder.grant.sequence:
            if holder.adopted:  # what was adopted was an old report
                return None
            rule = f"the last grant to this partition is {holder.grant.sequence}"
            raise wrong("granted", report.granted, rule)
        for name, use in report.models.items():
            # Older reports may tell of more: what they say of shares is not taken over.
            if report.granted == holder.grant.sequence and use.share > holder.bound(name):
                rule = f"at most {holder.bound(name)} was granted"
                raise wrong(f"models.{name}.share", use.share, rule)
        return holder

    def _use(self, account: str, holder: _Holder) -> ShareUse:
        """Return what was reported; nothing is used of a window that is only about to begin."""
        use = holder.uses.get(account, UNREPORTED)
        return use if use.window == self._windows.get(account, 0) else UNREPORTED

    def _demand_of(self, account: str, holder: _Holder) -> PartitionDemand:
        use = self._use(account, holder)
        reported = holder.uses.get(account, UNREPORTED)
        return PartitionDemand(
            share=holder.shares.get(account, 0),
            bound=max(holder.bound(account), drawn(use)),
            pending=holder.grant.models.get(account, 0) if holder.is_open else None,
            reported=account in holder.uses,
            used=use.reserved + use.spent,
            carried=use.carried,
            smallest=max(reported.smallest, 1) if reported.wanted else 0,
            weight=holder.demand.get(account, 0.0),
        )

    def _issue(self, holder: _Holder, changes: Mapping[str, int]) -> ShareGrant:
        models = {name: share for name, share in holder.shares.items() if share} | dict(changes)
        holder.grant = ShareGrant(
            partition=holder.grant.partition,
            sequence=holder.grant.sequence + 1,
            models=models,
            windows=_set(self._windows, models),
        )
        holder.is_open, holder.adopted = True, False
        return holder.grant


def drawn(use: ShareUse) -> int:
    """Return what is spent or reserved of a share itself, beyond what was carried over."""
    return max(use.reserved + use.spent - use.carried, 0)


def _set(windows: Mapping[str, int], accounts: Iterable[str]) -> dict[str, int]:
    return {name: windows[name] for name in accounts if windows.get(name)}
