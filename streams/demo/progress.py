"""A running system's progress, read from its topics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

from router.budget.ledger import owner
from schemas import Invalid, Receipt, Result
from schemas.result import read_result
from schemas.wire import decode
from streams.kafka import clients
from streams.kafka.security import Secured, for_librdkafka
from streams.kafka.topics import Topics
from streams.state.changelog import decode_state
from streams.state.fence import Fence
from streams.state.rows import STATE_KEY, State

BLOCK = 1000
"""Records consumed at once."""
CALM = 10.0
"""Seconds, several passes over deferred queries, after which they will not be decided otherwise."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of queries by their last decision, answers received, and nano-units spent."""

    decided: int
    routed: int
    deferred: int
    rejected: int
    answered: int
    spent: int


class LedgerStates:
    """The newest state record of each partition, from the changelog."""

    def __init__(self, paying: Collection[str]) -> None:
        """Args:
        paying: limits that together hold all the money, each part of it once.
        """
        self._paying = paying
        self.states: dict[int, State] = {}
        """By partition, its newest state."""
        self.settled_at = 0.0
        """Unix second of the last settlement."""
        self.overdrawn: set[str] = set()
        """Accounts that held more than their share at any record."""
        self._fences: defaultdict[int, Fence] = defaultdict(Fence)

    def sum(self, column: Literal["spent", "reserved"]) -> Mapping[str, int]:
        """Return nano-units by model, over all partitions."""
        sums: defaultdict[str, int] = defaultdict(int)
        for state in self.states.values():
            for name, account in state.accounts.items():
                if owner(name)[1] is None:  # what tenants use is in their models' accounts too
                    sums[name] += getattr(account, column)
        return sums

    def paid(self) -> int:
        """Return the nano-units spent by all models."""
        spent = self.sum("spent")
        return sum(spent.get(name, 0) for name in self._paying)

    def take(self, message: Any) -> None:
        """Take in a record of the changelog."""
        counts = self._fences[message.partition()].counts(message.key(), message.headers())
        if not counts or message.key() != STATE_KEY or message.value() is None:
            return
        state = decode_state(message.value())
        before = self.states.get(message.partition())
        if before is None or state.settled > before.settled:
            self.settled_at = max(self.settled_at, message.timestamp()[1] / 1000)
        self.states[message.partition()] = state
        for name, one in state.accounts.items():
            if one.reserved + one.spent > one.share + one.carried:
                self.overdrawn.add(name)


class DemoProgress:
    """Follows queries, receipts, results, reports and ledgers, from the topics' beginnings."""

    def __init__(
        self,
        broker: Secured,
        topics: Topics,
        partitions: int,
        paying: Collection[str],
        calm: float = CALM,
    ) -> None:
        """Start reading.

        Args:
            broker: where the topics are.
            topics: their names.
            partitions: number of partitions of `queries` and of the topics that follow it.
            paying: limits that together hold all the money, each part of it once.
            calm: seconds without another decision, after which deferred queries stay deferred.
        """
        self.arrived: dict[str, float] = {}
        """By query id, the Unix second at which its record was made."""
        self.first: dict[str, Receipt] = {}
        """By query id, its first decision."""
        self.last: dict[str, Receipt] = {}
        """By query id, its last decision."""
        self.results: dict[str, Result] = {}
        """By decision id, the result that was charged."""
        self.ledgers = LedgerStates(paying)
        self.reported: dict[int, float] = {}
        """By partition, the Unix second of its newest report to the controller."""
        self.models: defaultdict[str, set[str]] = defaultdict(set)
        """By query id, every model that it was routed to."""
        self.calm = calm
        self._deferred = topics.deferred
        self._decided: dict[tuple[str, int], int] = {}
        self._handlers = {
            topics.queries: self._query,
            topics.receipts: self._receipt,
            topics.results: self._result,
            topics.changelog: self.ledgers.take,
            topics.share_reports: self._report,
        }
        self._consumer = clients.consumer(for_librdkafka(broker), "watch", {"log_level": 0})
        self._consumer.assign(
            [
                TopicPartition(topic, number, OFFSET_BEGINNING)
                for topic in self._handlers
                for number in range(1 if topic == topics.share_reports else partitions)
            ]
        )

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def poll(self, seconds: float = 0.0) -> None:
        """Take in new records.

        Args:
            seconds: how long to wait for the first.

        Raises:
            KafkaException: a broker error that is not transient.
        """
        message: Any
        for message in self._consumer.consume(BLOCK, seconds):
            if (error := message.error()) is None:
                self._handlers[message.topic()](message)
            elif error.fatal():
                raise KafkaException(error)

    def counts(self) -> Counts:
        """Return the numbers so far."""
        words = [receipt.decision for receipt in self.last.values()]
        return Counts(
            decided=len(self.last),
            routed=words.count("routed"),
            deferred=words.count("deferred"),
            rejected=words.count("rejected"),
            answered=len(self.results),
            spent=self.ledgers.paid(),
        )

    def spent(self) -> Mapping[str, int]:
        """Return nano-units by model."""
        return self.ledgers.sum("spent")

    def reserved(self) -> Mapping[str, int]:
        """Return nano-units by model."""
        return self.ledgers.sum("reserved")

    def awaited(self, ids: Collection[str]) -> str | None:
        """Return what these queries still wait for, or None when nothing can change any more.

        Each must be decided, each routed one settled, and nothing reserved. While queries are
        deferred, routers must then have gone on for `calm` seconds without deciding any of them.
        """
        if undecided := sum(id not in self.last for id in ids):
            return f"{undecided:,} queries are not decided yet"
        lasts = self.last.values()
        if unanswered := sum(
            one.decision == "routed" and one.decision_id not in self.results for one in lasts
        ):
            return f"{unanswered:,} routed queries have no answer yet"
        if not self._covered() or any(self.reserved().values()):
            return "the last answers are not settled yet"
        deferred = sum(one.decision == "deferred" for one in lasts)
        changed = max([self.ledgers.settled_at, *(one.decided_at for one in lasts)])
        if deferred and any(moment <= changed + self.calm for moment in self.reported.values()):
            return (
                f"{deferred:,} deferred queries: no model is worth its price now; this ends when "
                f"they are not decided otherwise for {self.calm:.0f} s"
            )
        return None

    def _covered(self) -> bool:
        """Return whether the states read cover every decision read."""
        for (topic, number), offset in self._decided.items():
            state = self.ledgers.states.get(number)
            if state is None:
                return False
            position = state.deferred if topic == self._deferred else state.queries
            if position.decided < offset:
                return False
        return True

    # One record each

    def _query(self, message: Any) -> None:
        self.arrived.setdefault((message.key() or b"").decode(), message.timestamp()[1] / 1000)

    def _receipt(self, message: Any) -> None:
        receipt = decode(Receipt, message.value())
        place = (receipt.source.topic, receipt.source.partition)
        self._decided[place] = max(self._decided.get(place, -1), receipt.source.offset)
        if receipt.decision == "duplicate":
            return
        first = self.first.get(receipt.id)
        if first is None or receipt.decided_at < first.decided_at:
            self.first[receipt.id] = receipt
        last = self.last.get(receipt.id)
        if last is None or receipt.decided_at >= last.decided_at:
            self.last[receipt.id] = receipt
        if receipt.model is not None:
            self.models[receipt.id].add(receipt.model)

    def _result(self, message: Any) -> None:
        try:
            result = read_result(message.value())
        except Invalid:
            return  # it is on the topic `rejected`
        self.results.setdefault(result.decision_id, result)

    def _report(self, message: Any) -> None:
        number = int(message.key() or b"0")
        self.reported[number] = message.timestamp()[1] / 1000
