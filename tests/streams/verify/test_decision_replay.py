"""Decisions taken again from a log that a small router of the test's own wrote: the same bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import orjson
import pytest
from msgspec import structs

from router.arrays import Ints
from router.budget.holdings import holdings
from router.budget.ledger import Ledger, account_key
from router.budget.limits import LimitSet
from router.estimation.embedders import make_embedder
from router.estimation.estimator import Estimator
from router.estimation.index.exact import ExactIndex
from router.estimation.scorer import QueryScorer
from router.policies.base import Policy
from router.policies.explore import Explore
from router.policies.primal_dual import PrimalDual
from schemas import ModelControl, Prices, Receipt, Result
from schemas.control import control_key
from schemas.wire import decode, encode
from streams.control.registry import Registry
from streams.kafka.logs import Record
from streams.kafka.topics import Topics
from streams.routing.arrivals import parse
from streams.routing.build import Parts
from streams.routing.decide import DecisionContext, decide, estimate
from streams.routing.decider import Decider
from streams.routing.reindex import Indexes
from streams.state.recent_ids import RecentIds
from streams.state.rows import STATE_KEY, Log, Position, State
from streams.verify.decision_replay import DecisionReplayer, OffsetReader, PartitionReplay
from streams.verify.replayed_control import PriceVersions
from streams.verify.replayed_state import LedgerAdjustment, ledger_adjustments
from tests.support.outcomes import NoFailures, outcomes, vectors

TOPICS = Topics()
LOGS: tuple[Log, ...] = ("queries", "deferred")
NEWCOMER = ModelControl(
    name="maker/new",
    action="add",
    input_price=0,
    output_price=1_000_000,
    limit=10**6,
    max_output_tokens=200_000,
    context=10**9,
)


NEW_INDEX = 15
"""The first record that is decided with another index, before there are other prices."""


def make_parts(size: int, index: str) -> Parts:
    """A fleet of three models with budgets that bind, and a policy that explores."""
    data = outcomes(size)
    embeddings = vectors(data)
    history = data.history(embeddings)
    estimator = Estimator.fit(history, ExactIndex(embeddings), data.prompts)
    embedder, catalog = make_embedder("given", dimension=8), outcomes(200).catalog()
    core = QueryScorer(embedder, estimator, catalog, "quantile", index=index)
    amounts = dict.fromkeys(catalog.names, 3_000_000)
    past = estimator.leave_one_out()

    def new_policy() -> Policy:
        policy = Explore(PrimalDual(core.catalog), 0.1)
        policy.warm_start(past.quality, past.cost)
        policy.plan(np.array(list(amounts.values())), 60.0)
        return policy

    return Parts(core, LimitSet.per_model(catalog.names), amounts, new_policy, trial=0.5)


def limits_of(parts: Parts) -> Ints:
    return np.array(list(parts.amounts.values()))


class Story(NoFailures):
    """One partition that decides chunks of five with new prices half-way, and settles between.

    Every other query is the shop's, which has limits for two models from the third chunk on, more
    of one from the fifth, and none from the ninth.
    """

    def __init__(self, size: int = 60) -> None:
        self.old, self.new = make_parts(200, "old"), make_parts(140, "new")
        self.parts = parts = self.old
        data = outcomes(size, seed=1)
        embeddings = vectors(data)
        self.records = {
            "queries": [
                record(i, query(f"q{i}", embeddings[i].tolist(), "shop" if i % 2 else "other"))
                for i in range(size)
            ],
            "deferred": [],
        }
        self.records["queries"][7] = record(7, b"no json")
        self.number, self.ledger = 0, Ledger(parts.scorer.catalog.names, limits_of(parts) // 2)
        self.scorer, self.registry = parts.scorer, Registry(models=parts.scorer.catalog.names)
        self.orders: list[Record] = []
        self.settled, self.recent = -1, RecentIds()
        self.retried: dict[Log, int] = {"queries": -1, "deferred": -1}
        self.receipts: list[Receipt] = []
        self.results: list[Record] = []
        self.changelog: list[Record] = []
        self.policy = parts.new_policy()
        self.prices: list[Record] = []
        version = 0
        orders = {
            10: ModelControl(name=self.ledger.names[0], action="pause"),
            20: ModelControl(name=self.ledger.names[0], action="resume"),
            40: NEWCOMER,
        }
        for start in range(0, size, 5):
            if (order := orders.get(start)) is not None:
                self.order(order)
            if start == NEW_INDEX:
                self.parts, self.policy = self.new, self.new.new_policy()
                self.scorer = self.new.scorer.with_newcomers(self.registry.newcomers())
            if start == size // 2:
                version = 1
                self.move_prices()
                self.ledger.share[:3] = limits_of(parts)  # a grant
                self.commit()
            if start in (10, 20):
                self.limit_tenants(300_000 if start == 10 else 600_000)
            if start == 40:
                self.ledger.limit_tenants(frozenset())
            self.decide(self.records["queries"][start : start + 5], version)
            if start % 15 == 0:
                self.settle()

    def limit_tenants(self, share: int) -> None:
        models = self.parts.scorer.catalog.names
        self.ledger.limit_tenants(frozenset(account_key(model, "shop") for model in models[:2]))
        self.ledger.share[3:] = 300_000, share

    def move_prices(self) -> None:
        state = self.policy.snapshot()
        state["prices"] = {name: price * 0.5 for name, price in state["prices"].items()}
        self.policy.restore(state)
        prices = Prices(policy=self.policy.name, version=1, state=state, solved_at=5.0)
        self.prices.append(record(0, encode(prices)))

    def order(self, message: ModelControl) -> None:
        key, value = control_key(message).encode(), encode(message)
        self.orders.append(record(len(self.orders), value, key))
        assert self.registry.read(key, value, self.orders[-1].offset) is None
        if message.action == "add":
            self.scorer = self.scorer.with_newcomers(self.registry.newcomers())
            self.ledger.add(message.name)
            self.commit()
            self.ledger.share[-1] = message.limit or 0  # a grant
            self.commit()

    def decide(self, records: list[Record], version: int) -> None:
        scorer = self.scorer
        prepared = estimate(scorer, parse(records, scorer.catalog, scorer.embedder))
        decider = Decider(
            scorer,
            self.parts.with_trials(self.policy, scorer.catalog),
            self.parts.limits.extended(self.registry.added),
            self.registry.open(scorer.catalog.names),
            version,
            self.registry.version,
        )
        context = DecisionContext(decider, "queries", 100.0 + records[0].offset, 10**6)
        rows = decide(prepared, context, self)
        self.receipts += [rows[offset].receipt for offset in sorted(rows)]
        self.commit()

    def reserve(self, accounts: Ints, amounts: Ints) -> None:
        self.ledger.reserve(accounts, amounts)

    def record_unmet(self, account: int, amount: int) -> None:
        pass

    def record_retried(self, offsets: Mapping[Log, int]) -> None:
        self.retried |= offsets

    def settle(self) -> None:
        """Every other routed query is answered, for half of what was reserved."""
        for receipt in self.receipts[::2]:
            if receipt.model is None or any(receipt.id.encode() == r.key for r in self.results):
                continue
            result = Result(
                id=receipt.id,
                decision_id=receipt.decision_id,
                model=receipt.model,
                status_code=200,
                cost=receipt.reserved // 2,
            )
            self.results.append(record(len(self.results), encode(result), receipt.id.encode()))
            for account in (self.ledger.index[part.account] for part in holdings(receipt)):
                self.ledger.settle(account, receipt.reserved, receipt.reserved // 2)
        self.settled = len(self.results) - 1
        self.commit()

    def commit(self) -> None:
        state = State(
            queries=Position(len(self.receipts) - 1, -1),
            settled=self.settled,
            accounts=self.ledger.accounts(),
        )
        self.changelog.append(record(len(self.changelog), encode(state), STATE_KEY))

    def replayed(
        self,
        receipts: list[Receipt] | None = None,
        first: int = 0,
        whole_since: float = math.inf,
        kept: bool = True,
    ) -> tuple[list[Receipt], PartitionReplay]:
        """Take all decisions from offset `first` on again. kept: the old index is still there."""
        prices = PriceVersions(self.new.new_policy, self.prices)
        indexes = Indexes(self.new, {"old": self.old if kept else None}.__getitem__)
        events: Iterator[LedgerAdjustment] = ledger_adjustments(self.changelog)
        replayer = DecisionReplayer(
            indexes, TOPICS, prices, 0, events, self.results, self.orders, whole_since
        )
        readers = {log: OffsetReader(iter(self.records[log])) for log in LOGS}
        logged = [(one, encode(one)) for one in receipts or self.receipts]
        taken = list(replayer.replay(logged, readers, lambda log, offset: offset >= first))
        return taken, replayer.done


def query(id: str, embedding: list[float], tenant: str) -> bytes:
    asked = {"prompt": id, "max_tokens": 150_000, "embedding": embedding, "tenant": tenant}
    return orjson.dumps({"id": id, **asked})


def record(offset: int, value: bytes, key: bytes | None = None) -> Record:
    return Record("queries", 0, offset, 0, key, value, ())


@pytest.fixture(scope="module")
def story() -> Story:
    story = Story()
    reasons = {receipt.reason for receipt in story.receipts}
    assert reasons >= {"best", "explore", "no_budget", "invalid_json"}, "the story is too simple"
    shops = [receipt for receipt in story.receipts if receipt.model and receipt.source.offset % 2]
    assert {receipt.tenant for receipt in shops} == {None, "shop"}
    assert story.ledger.reserved[3:].any(), "the shop's account is not used to the end"
    return story


def test_every_decision_comes_out_the_same(story: Story) -> None:
    """With prices, shares, results and chunks as they were, all receipts have the same bytes."""
    taken, done = story.replayed()
    assert done.differences == []
    assert taken == story.receipts
    assert (done.decisions, done.adopted) == (len(story.receipts), 0)


@pytest.mark.parametrize(
    "change",
    [{"reserved": 1}, {"reason": "other"}, {"propensity": 0.123}, {"neighbours": ["q1"]}],
    ids=str,
)
def test_a_falsified_receipt_is_found(story: Story, change: dict[str, object]) -> None:
    """It alone differs, and the sentence names the field; decisions after it do not follow it."""
    routed = next(i for i, receipt in enumerate(story.receipts) if receipt.model)
    false = list(story.receipts)
    false[routed] = structs.replace(false[routed], **change)
    taken, done = story.replayed(false)
    (one,) = done.differences
    assert one.query == false[routed].id
    assert next(iter(change)) in one.what
    assert taken == story.receipts


def test_a_missing_receipt_is_found(story: Story) -> None:
    """The record between two decided ones was decided as well."""
    _, done = story.replayed([*story.receipts[:11], *story.receipts[12:]])
    assert [one.query for one in done.differences] == [story.receipts[11].id]
    assert "no receipt" in done.differences[0].what


def test_only_a_part_is_taken_again(story: Story) -> None:
    """What came before is believed, and the money follows it."""
    taken, done = story.replayed(first=30)
    assert (done.decisions, done.adopted, done.differences) == (30, 30, [])
    assert done.missing == {}
    assert taken == story.receipts


def test_an_index_that_is_gone_is_told(story: Story) -> None:
    """Without the index that they name decisions cannot be taken again, and that is said."""
    assert [receipt.index for receipt in story.receipts[NEW_INDEX - 1 : NEW_INDEX + 1]] == [
        "old",
        "new",
    ]
    taken, done = story.replayed(kept=False)
    assert done.missing == {"their index is not kept (sluice index build --keep)": NEW_INDEX}
    assert (done.decisions, done.differences) == (len(story.receipts) - NEW_INDEX, [])
    assert taken == story.receipts


def test_another_index_would_decide_otherwise(story: Story) -> None:
    """The test has a point: a receipt that names the wrong index is found."""
    false = [structs.replace(receipt, index="new") for receipt in story.receipts]
    _, done = story.replayed(false)
    assert done.differences


def test_prices_that_are_gone_are_told(story: Story) -> None:
    """Without their prices decisions cannot be taken again; that is said, not passed over."""
    prices, story.prices = story.prices, []
    try:
        _, done = story.replayed()
    finally:
        story.prices = prices
    assert done.missing == {"their prices have been compacted away": 30}
    assert done.differences == []


def test_the_limits_of_tenants_matter(story: Story) -> None:
    """The test has a point: with more for the shop the same log gives other decisions."""
    changelog = story.changelog
    story.changelog = []
    for each in changelog:
        state = decode(State, each.value)
        rich = {n: a._replace(share=a.share * 10) for n, a in state.accounts.items() if "\t" in n}
        more = structs.replace(state, accounts={**state.accounts, **rich})
        story.changelog.append(each._replace(value=encode(more)))
    try:
        _, done = story.replayed()
    finally:
        story.changelog = changelog
    assert done.differences


def test_each_chunk_has_its_own_orders(story: Story) -> None:
    """The story has what it takes: nothing went to the paused model, which is used before and
    after, and queries went to the newcomer, which those before do not know."""
    used = [
        {receipt.model for receipt in story.receipts if receipt.control_version == version}
        for version in range(4)
    ]
    first = story.ledger.names[0]
    assert [first in models for models in used] == [True, False, True, True]
    assert [NEWCOMER.name in models for models in used] == [False, False, False, True]
    assert NEWCOMER.name not in story.receipts[0].quality
    assert NEWCOMER.name in story.receipts[-1].quality


@pytest.mark.parametrize(("left", "under"), [(0, {1, 2, 3}), (1, {1, 2}), (2, {1, 2})])
def test_orders_that_are_gone_are_told(story: Story, left: int, under: set[int]) -> None:
    """Decisions are not taken again where an order that counted may have been removed for a later
    one; after the last order of all, what is left is what counts."""
    orders, story.orders = story.orders, story.orders[len(story.orders) - left :]
    try:
        _, done = story.replayed()
    finally:
        story.orders = orders
    lacking = sum(receipt.control_version in under for receipt in story.receipts)
    assert done.missing == {"orders before them have been compacted away": lacking}
    assert done.differences == []


def test_young_orders_removed_none(story: Story) -> None:
    """A pause that had ended by the time of the decisions may be missing before orders that are too
    young to have removed any."""
    orders, story.orders = story.orders, story.orders[1:]
    try:
        _, done = story.replayed(first=20, whole_since=0.0)
    finally:
        story.orders = orders
    assert (done.missing, done.differences) == ({}, [])
    assert done.decisions == 40


def test_other_orders_would_decide_otherwise(story: Story) -> None:
    """Where the model was not paused, queries would have gone to it."""
    orders = story.orders
    resume = ModelControl(name=story.ledger.names[0], action="resume")
    story.orders = [record(0, encode(resume), control_key(resume).encode()), *orders[1:]]
    try:
        _, done = story.replayed()
    finally:
        story.orders = orders
    assert done.differences


def test_other_money_would_decide_otherwise(story: Story) -> None:
    """The test has a point: with other shares the same log gives other decisions."""
    changelog = story.changelog
    ledger = Ledger(story.parts.scorer.catalog.names, limits_of(story.parts) * 100)
    rich = State(accounts=ledger.accounts())
    story.changelog = [record(0, encode(rich), STATE_KEY)]
    try:
        _, done = story.replayed()
    finally:
        story.changelog = changelog
    assert done.differences
