"""The invariants of docs/reliability.md, checked on what stands in the topics and nowhere else."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import get_args

from router.budget.holdings import holdings
from router.budget.ledger import Accounts, account_key
from router.budget.limits import with_tenants
from schemas import (
    BudgetControl,
    Code,
    Invalid,
    Receipt,
    Rejected,
    Result,
    Routed,
    decode_control,
)
from schemas.wire import MAX_BYTES, decode
from streams.config.settings import load
from streams.runtime.controller_host import ACCOUNTS_KEY
from streams.state.fence import rightful
from streams.state.rows import ROW_PREFIXES, STATE_BYTES, STATE_KEY, Row, State
from tests.support.charges import answers, charged_cost, counted
from tests.support.moment import moment
from tests.support.patience import PATIENCE
from tests.support.records import Record, trace
from tests.support.system import System

Place = tuple[str, int, int]
"""Topic, partition and offset."""
Sums = dict[int, Counter[str]]
"""Nano-units by partition and account."""


@dataclass
class Story:
    """Everything that a system has left in its topics, decoded. Build with `of`."""

    sent: Mapping[str, bytes]
    limits: Mapping[str, int]
    queries: list[Record]
    routed: list[tuple[Record, Routed]]
    deferred: list[Record]
    rejected: list[tuple[Record, Rejected]]
    receipts: list[tuple[Record, Receipt]]
    results: list[tuple[Record, Result]]
    changelog: list[Record]
    inputs: dict[Place, bytes | None] = field(default_factory=dict)

    @classmethod
    def of(cls, system: System) -> Story:
        """Read all topics of a system, as they were at one moment (`moment`)."""
        topics = system.topics
        routed = [topics.routed(name) for name in system.served]
        outputs = [*routed, topics.deferred, topics.rejected, topics.receipts]
        sources = (topics.queries, topics.results)
        found = moment(system, [topics.changelog, *sources, *outputs])
        inputs = [record for topic in sources for record in found[topic]]
        inputs += system.read(topics.share_reports)
        return cls(
            sent=system.sent,
            limits=limits_of(system),
            queries=found[topics.queries],
            routed=[
                (record, decode(Routed, record.value, 2 * MAX_BYTES))
                for topic in routed
                for record in found[topic]
            ],
            deferred=found[topics.deferred],
            rejected=[
                (r, decode(Rejected, r.value, 4 * MAX_BYTES)) for r in found[topics.rejected]
            ],
            receipts=[(r, decode(Receipt, r.value)) for r in found[topics.receipts]],
            results=list(answers(found[topics.results])),
            changelog=list(rightful(found[topics.changelog])),
            inputs={(r.topic, r.partition, r.offset): r.value for r in inputs},
        )

    def states(self) -> dict[int, list[State]]:
        """Every state record of each partition, in order.

        One that an owner has written again, as a void record had hidden it, counts once.
        """
        found: dict[int, list[State]] = defaultdict(list)
        for record in self.changelog:
            if record.key == STATE_KEY and record.value is not None:
                state, before = decode(State, record.value, STATE_BYTES), found[record.partition]
                if state not in before[-1:]:
                    before.append(state)
        return dict(found)

    def last_accounts(self) -> dict[int, Accounts]:
        """The final accounts of each partition."""
        return {number: states[-1].accounts for number, states in self.states().items()}

    def refused(self) -> set[str]:
        """Ids of queries that were rejected."""
        topics = {one.topic for one in (*self.queries, *self.deferred)}
        return {m.id for _, m in self.rejected if m.source.topic in topics and m.id is not None}

    def lost(self) -> set[str]:
        """Ids of queries that were sent, and are neither routed nor rejected nor deferred."""
        routed = {message.id for _, message in self.routed}
        deferred = {record.json()["id"] for record in self.deferred}
        return self.sent.keys() - routed - deferred - self.refused()

    def settled(self) -> bool:
        """Whether every query is somewhere, each routed one has a result, and nothing is reserved.

        What a router had decided when it was killed leaves when another has taken over.
        """
        if self.lost():
            return False
        routed = {message.decision_id for _, message in self.routed}
        told = {receipt.decision_id for _, receipt in self.receipts if receipt.model}
        results = {result.decision_id for _, result in self.results}
        return told == routed <= results and not any(
            account.reserved for last in self.last_accounts().values() for account in last.values()
        )

    def charged(self) -> Iterator[tuple[Record, Result]]:
        """Results that count (`charges.counted`)."""
        rejected, receipts = (m for _, m in self.rejected), (r for _, r in self.receipts)
        return counted(self.results, rejected, receipts)

    def open_rows(self) -> dict[str, Row]:
        """The rows that the changelog, compacted, still holds, by decision id."""
        rows: dict[tuple[int, bytes], bytes] = {}
        for record in self.changelog:
            place = (record.partition, record.key or b"")
            if record.value is None:
                rows.pop(place, None)
            elif place[1][:1] in ROW_PREFIXES:
                rows[place] = record.value
        ended = {
            (number, key.encode())
            for number, states in self.states().items()
            for key in states[-1].removed
        }
        found = [decode(Row, value) for place, value in rows.items() if place not in ended]
        return {row.receipt.decision_id: row for row in found}


def hold(system: System, drained: bool = True) -> Story:
    """Check I1 to I5 and I7 on a system that has decided all it was sent. Returns what was read.

    drained: all results are in and folded as well; a pass over what waits that has just routed one
    more is awaited.
    """
    story, until = Story.of(system), time.monotonic() + PATIENCE
    while drained and not story.settled() and time.monotonic() < until:
        story = Story.of(system)
    ends_once(story)
    one_model(story)
    within_limits(story)
    rejected_whole(story, system)
    same_messages(story)
    headers_kept(story)
    equals_fold(story)
    if drained:
        all_settled(story)
    return story


def ends_once(story: Story) -> None:
    """I1: every query that was sent is routed, or rejected, or still deferred: one of them."""
    routed = {message.id for _, message in story.routed}
    lost = story.lost()
    told = [receipt for _, receipt in story.receipts if receipt.id in lost]
    assert not lost, f"queries are lost; their receipts: {told}"
    assert not (routed & story.refused() & story.sent.keys()), (
        "queries were sent to a model and rejected as well"
    )
    receipts = {receipt.id for _, receipt in story.receipts}
    assert story.sent.keys() <= receipts, "decisions without a receipt"


def one_model(story: Story) -> None:
    """I2: an id goes to one model, under one decision id; a receipt says the same each time.

    Ids that a test made up beside `produce` may have come on two partitions: they do not count.
    """
    models, decisions = defaultdict(set), defaultdict(set)
    for _, message in story.routed:
        if message.id in story.sent:
            models[message.id].add(message.model)
            decisions[message.id].add(message.decision_id)
    assert not {id: found for id, found in models.items() if len(found) > 1}
    assert not {id: found for id, found in decisions.items() if len(found) > 1}
    words: dict[str, tuple[str, str | None]] = {}
    for _, receipt in story.receipts:
        said = receipt.decision, receipt.model
        assert words.setdefault(receipt.decision_id, said) == said, "a decision was changed"
    sent = {message.decision_id: message.model for _, message in story.routed}
    told = {decision: model for decision, (word, model) in words.items() if word == "routed"}
    assert sent == told, "receipts and routed messages differ"


def limits_of(system: System) -> Mapping[str, int]:
    """The most that each account may ever have had: a model's limit, and what the file or an order
    says of tenants."""
    config = load(system.config, {})
    limits = config.amounts() | dict(zip(system.models, system.limits, strict=True))
    limits |= config.tenant_limits()
    for record in system.read(system.topics.control):
        try:
            order = decode_control(record.value)
        except Invalid:
            continue
        if isinstance(order, BudgetControl) and (order.tenant or order.model in config.limits):
            name = account_key(order.model, order.tenant)
            limits[name] = max(limits.get(name, 0), order.limit)
    seen = {
        name
        for record in system.read(system.topics.changelog)
        if record.key == STATE_KEY and record.value
        for name in decode(State, record.value, STATE_BYTES).accounts
    }
    return with_tenants(limits, config.limit_set(), seen) | dict.fromkeys(
        config.limit_set().each, 0
    )


def within_limits(story: Story) -> None:
    """I3: at every record of the changelog reserved + spent <= share for each account, and the
    partitions' shares sum to the limit at most; no state goes backwards."""
    for states in story.states().values():
        for state in states:
            for name, account in state.accounts.items():
                assert account.reserved >= 0 <= account.spent
                room = account.share + account.carried
                assert account.reserved + account.spent <= room, f"{name}, {state.sequence}"
        steps = [state.sequence for state in states]
        assert steps == sorted(set(steps)), "a state record came twice, or out of order"
        for before, after in pairwise(states):
            assert after.queries.decided >= before.queries.decided
            assert after.deferred.decided >= before.deferred.decided
            assert after.settled >= before.settled
            for name, account in before.accounts.items():
                if after.accounts[name].window == account.window:
                    assert after.accounts[name].spent >= account.spent
    shares_within_limits(story)


def shares_within_limits(story: Story) -> None:
    """The shares that partitions have at any moment sum to the limit at most.

    A share that grows was another's before, which had written that it shrank: so records in the
    order of their times show every state that there was.
    """
    now: dict[str, dict[int, int]] = defaultdict(dict)
    records = [record for record in story.changelog if record.key == STATE_KEY and record.value]
    for record in sorted(records, key=lambda record: record.timestamp):
        state = decode(State, record.value, STATE_BYTES)
        for name, account in state.accounts.items():
            now[name][record.partition] = account.share
            total = sum(now[name].values())
            assert total <= story.limits[name], f"{name}: shares of {total} at {record.timestamp}"


def grants_within_limits(system: System) -> None:
    """By every record of a rightful controller, partitions own a limit at most, with what they have
    been granted and may have taken."""
    limits = limits_of(system)
    for record in rightful(system.read(system.topics.controller_changelog)):
        if record.key != ACCOUNTS_KEY:
            continue
        sums: Counter[str] = Counter()
        for row in filter(None, record.json()["partitions"]):
            granted = row["grant"]["models"] if row["open"] else {}
            for name in row["shares"].keys() | granted.keys():
                sums[name] += max(row["shares"].get(name, 0), granted.get(name, 0))
        assert all(total <= limits[name] for name, total in sums.items()), record


def all_settled(story: Story) -> None:
    """I4: reserved is 0, spent is the sum of the window's costs, each decision charged once; no
    reservation is open, and every routed query has its result."""
    costs: dict[str, Result] = {}
    for _, result in story.charged():
        costs.setdefault(result.decision_id, result)
    accounts = story.last_accounts()
    receipts = {receipt.decision_id: receipt for _, receipt in story.receipts}
    routed = {message.decision_id for _, message in story.routed}
    assert routed == costs.keys(), "routed queries without a result, or results without a query"
    wanted: Counter[str] = Counter()
    for decision, result in costs.items():
        receipt = receipts[decision]
        for part in holdings(receipt):
            if part.window in (None, accounts[receipt.source.partition][part.account].window):
                cost = charged_cost(result, receipt.reserved)
                wanted[part.account] += part.charge(result, cost)
    spent: Counter[str] = Counter()
    for last in accounts.values():
        for name, account in last.items():
            assert account.reserved == 0, f"{name}: {account.reserved} is still reserved"
            spent[name] += account.spent
    assert +spent == +wanted
    open_ = [id for id, row in story.open_rows().items() if row.receipt.decision == "routed"]
    assert not open_, "rows of settled decisions are still open"


def rejected_whole(story: Story, system: System) -> None:
    """I5: what is rejected carries the original bytes, a known code, and a reason in words that
    names the field, where it is a field's fault."""
    for _, message in story.rejected:
        assert message.code in get_args(Code)
        assert " " in message.reason
        if message.field is not None:
            assert message.reason.startswith(message.field)
        source = message.source
        place = (source.topic, source.partition, source.offset)
        if place in story.inputs:
            assert message.original() == (story.inputs[place] or b"")
        else:  # workers reject records of their own topics
            assert source.topic not in {system.topics.queries, system.topics.results}


def same_messages(story: Story) -> None:
    """A message that leaves a second time is the first one again, byte for byte."""
    seen: dict[tuple[str, str], bytes | None] = {}
    told = [(record, message.decision_id) for record, message in story.routed]
    told += [(record, message.decision_id) for record, message in story.receipts]
    for record, decision in told:
        assert seen.setdefault((record.topic, decision), record.value) == record.value


def headers_kept(story: Story) -> None:
    """The trace header of a query is on all that becomes of it; decisions name themselves."""
    ours = story.sent.keys()
    told: list[tuple[Record, str]] = [(record, message.id) for record, message in story.routed]
    told += [(record, message.id) for record, message in story.receipts]
    told += [(record, record.json()["id"]) for record in story.deferred]
    for record, id in told:
        if id in ours:
            (expected,) = trace(id)
            assert record.headers.get("traceparent") == expected[1], record
    for record, message in story.routed:
        assert record.headers["sluice-model"] == message.model.encode()
        assert record.headers["sluice-decision-id"] == message.decision_id.encode()
        assert record.headers["sluice-source-partition"] == str(message.source.partition).encode()


def equals_fold(story: Story) -> None:
    """I7: receipts and results, folded, give every partition's ledger to the nano-unit.

    Only results that a partition has taken in count: those up to its last state's offset.
    """
    reserved, spent = fold(story)
    for number, accounts in story.last_accounts().items():
        for name, account in accounts.items():
            places = {name, _place(name, account.window)}
            told = tuple(sum(sums[number][at] for at in places) for sums in (reserved, spent))
            assert (account.reserved, account.spent) == told, (
                f"partition {number}, {name}: reserved and spent are {account}, told are {told}"
            )


def fold(story: Story) -> tuple[Sums, Sums]:
    """What receipts and results say is reserved and spent."""
    reserved: Sums = defaultdict(Counter)
    spent: Sums = defaultdict(Counter)
    held: dict[str, Receipt] = {}
    for _, receipt in story.receipts:
        if receipt.decision == "routed" and receipt.decision_id not in held:
            held[receipt.decision_id] = receipt
            for part in holdings(receipt):
                reserved[receipt.source.partition][_place(part.account, part.window)] += part.amount
    settled = {number: states[-1].settled for number, states in story.states().items()}
    for record, result in story.charged():
        found = held.get(result.decision_id)
        if found is None or record.offset > settled.get(record.partition, -1):
            continue
        del held[result.decision_id]
        cost = charged_cost(result, found.reserved)
        for part in holdings(found):
            reserved[record.partition][_place(part.account, part.window)] -= part.amount
            spent[record.partition][_place(part.account, part.window)] += part.charge(result, cost)
    return reserved, spent


def _place(account: str, window: int | None) -> str:
    return f"{account}@{window}" if window else account
