"""The state of a partition during a replay: rebuilt from its log, without a store or a broker."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from router.arrays import Ints
from router.budget.holdings import holdings
from router.budget.ledger import Account, Ledger, owner
from router.budget.reference_ledger import Charge, ReferenceLedger
from router.models.catalog import ModelCatalog
from schemas import Invalid, Receipt, Result
from schemas.result import FAILED, goes_to_another_model, read_settlement
from streams.kafka.logs import Record
from streams.state.changelog import entries
from streams.state.recent_ids import RecentIds
from streams.state.rows import Log, State


class LedgerAdjustment(NamedTuple):
    """A change of money beside decisions and results, as a state record shows it.

    Attributes:
        after: Offsets that had been decided before, by log.
        accounts: The accounts from then on.
        released: Ids of decisions whose reservations were released at their deadline.
        held: Ids of decisions whose reservations are held beyond it.
        returned: Of those that were released, the ids of decisions that are taken again.
    """

    after: dict[Log, int]
    accounts: dict[str, Account]
    released: list[str]
    held: list[str]
    returned: frozenset[str] = frozenset()


def ledger_adjustments(changelog: Iterable[Record]) -> Iterator[LedgerAdjustment]:
    """Yield the adjustments that the state records of a partition show."""
    after: dict[Log, int] = {"queries": -1, "deferred": -1}
    settings: dict[str, tuple[int, int, bool]] = {}
    released: dict[str, None] = {}
    held: dict[str, None] = {}
    returned: set[str] = set()
    for _, _, entry in entries(changelog):
        if isinstance(entry, State):
            now = {
                name: (one.share, one.window, one.lifted) for name, one in entry.accounts.items()
            }
            if released or held or now != settings:
                yield LedgerAdjustment(
                    after, dict(entry.accounts), list(released), list(held), frozenset(returned)
                )
                settings, released, held = now, {}, {}
                returned.clear()
            after = {"queries": entry.queries.decided, "deferred": entry.deferred.decided}
            continue
        decision = entry.receipt.decision_id
        # What a commit without a state record has marked is written again without its marks.
        released.pop(decision, None)
        held.pop(decision, None)
        returned.discard(decision)
        if entry.expired:
            released[decision] = None
            if entry.returned:
                returned.add(decision)
        elif entry.held:
            held[decision] = None


class ReplayedState:
    """A `DecisionState` that follows receipts, results and adjustments of a log.

    Attributes:
        ledger: The accounts of the models known by now, and of their tenants.
        recent: Ids of queries that were decided before.
        retried: Of each log, the last offset whose deferred query has been retried.
        settled: Last offset of `results` that has been settled.
    """

    def __init__(
        self,
        limits: Sequence[str],
        complete: ModelCatalog,
        adjustments: Iterable[LedgerAdjustment],
        results: Iterable[Record],
        attempts: int = 0,
    ) -> None:
        """Args:
        limits: Names of the configured limits, in order.
        complete: The configured models and all that were added later.
        adjustments: Of the partition, in order.
        results: Of the partition, from the first.
        attempts: Models that a query whose call has failed may go to after the first.
        """
        self.ledger = Ledger(limits, np.zeros(len(limits), dtype=np.int64))
        self.recent = RecentIds()
        self.retried: dict[Log, int] = {"queries": -1, "deferred": -1}
        self.settled = -1
        self._reference = ReferenceLedger(complete)
        self._adjustments = deque(adjustments)
        self._results = iter(results)
        self._result = next(self._results, None)
        self._attempts = attempts
        self._tried: dict[str, int] = {}
        self._followed: set[str] = set()
        self._overdue: set[str] = set()

    def reserve(self, accounts: Ints, amounts: Ints) -> None:
        """Reserve money, as `Ledger.reserve`."""
        self.ledger.reserve(accounts, amounts)

    def is_failover(self, decision_id: str) -> bool:
        """Return whether a failed decision has not been followed by another one yet."""
        return decision_id not in self._followed

    def end_failover(self, decision_id: str) -> None:
        """Record that the query of a failed decision is decided again."""
        self._followed.add(decision_id)

    def record_unmet(self, account: int, amount: int) -> None:
        """Do nothing: a replay reports to no controller."""

    def record_retried(self, offsets: Mapping[Log, int]) -> None:
        """Record the last offsets whose deferred queries have been retried."""
        self.retried |= offsets

    def add_models(self, models: Iterable[str]) -> None:
        """Open accounts for the models that have none."""
        for name in models:
            if name not in self.ledger.index:
                self.ledger.add(name)

    def catch_up(self, log: Log, first: Receipt) -> None:
        """Bring the money to where it stood when a chunk was decided.

        Args:
            log: The chunk's log.
            first: The chunk's first receipt.
        """
        self._settle(first.results_offset)
        while self._adjustments and self._adjustments[0].after[log] < first.source.offset:
            self._adjust(self._adjustments.popleft())

    def adopt(self, log: Log, receipt: Receipt) -> None:
        """Reserve what a receipt says, though its decision cannot be replayed."""
        for part in holdings(receipt):
            if part.account in self.ledger.index:
                self.ledger.reserved[self.ledger.index[part.account]] += part.amount
        self.record_decision(log, receipt)

    def record_decision(self, log: Log, receipt: Receipt) -> None:
        """Record a decision, for which money has been reserved in the ledger."""
        if log == "queries" and receipt.decision in ("routed", "deferred"):
            self.recent.add({receipt.id: receipt.source.offset})
        elif log == "deferred" and receipt.decision == "rejected":
            self.recent.forget([receipt.id])
        if receipt.tried and receipt.model is not None:
            self._tried[receipt.decision_id] = len(receipt.tried)
        index, window = self.ledger.index, self.ledger.window
        windows = {
            part.account: int(window[index[part.account]])
            for part in holdings(receipt)
            if part.account in index
        }
        self._reference.decide(receipt, windows)

    def _settle(self, results: int) -> None:
        """Settle the results before offset `results`."""
        while (record := self._result) is not None and record.offset < results:
            self._result = next(self._results, None)
            try:
                result, _ = read_settlement(record.value)
            except Invalid:
                continue
            charge = self._reference.settle(record.offset, result)
            if charge is None:
                continue
            if self._is_over(charge, result):
                self.recent.forget([charge.query])
            for entry in charge.entries:
                if entry.account in self.ledger.index:
                    account = self.ledger.index[entry.account]
                    self.ledger.settle(account, entry.released, entry.charged, entry.window)
        self.settled = results - 1

    def _is_over(self, charge: Charge, result: Result) -> bool:
        """Return whether a result ends its query without an answer."""
        tried = self._tried.pop(result.decision_id, 0)
        was_over = charge.late or result.decision_id in self._overdue
        self._overdue.discard(result.decision_id)
        if was_over or result.status_code < FAILED:
            return False
        return not goes_to_another_model(result, tried, self._attempts)

    def _adjust(self, adjustment: LedgerAdjustment) -> None:
        for decision in adjustment.released:
            if (held := self._reference.expire(decision)) is not None:
                if decision not in adjustment.returned:
                    self.recent.forget([held.query])
                for part in held.parts:
                    if part.account in self.ledger.index:
                        number = self.ledger.index[part.account]
                        self.ledger.release(number, part.amount, held.windows[part.account])
        for decision in adjustment.held:
            if (open_ := self._reference.held.get(decision)) is not None:
                self._overdue.add(decision)
                self.recent.forget([open_.query])
        self._limit_tenants(adjustment.accounts)
        own = {
            self.ledger.index[name]: account
            for name, account in adjustment.accounts.items()
            if name in self.ledger.index
        }
        begins = self.ledger.window.copy()
        for i, account in own.items():
            begins[i] = account.window
        self.ledger.roll(begins[self.ledger.models])
        for i, account in own.items():
            self.ledger.share[i], self.ledger.carried[i] = account.share, account.carried

    def _limit_tenants(self, accounts: Mapping[str, Account]) -> None:
        """Open the tenants' accounts that a state has; only limits that hold are enforced."""
        of_tenants = {name for name in accounts if owner(name)[1] is not None}
        self.add_models(name for name in sorted(of_tenants) if owner(name)[0] in self.ledger.index)
        self.ledger.limit_tenants(frozenset(n for n in of_tenants if not accounts[n].lifted))
