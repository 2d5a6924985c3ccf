"""What must hold of a deployment under any limits, whatever is asked, answered, ordered or killed.

Real routers, a real controller and real admin commands, on a log in memory (`Deployment`).
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from confluent_kafka import KafkaException
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from router.budget.holdings import holdings
from router.models.catalog import ModelCatalog
from schemas import BudgetControl, ModelControl
from schemas.wire import encode
from streams.control.registry import Registry
from streams.kafka.topics import Log
from streams.routing.reindex import Indexes
from streams.state.rows import Row
from streams.verify.audit import ReceiptLogs, audit
from streams.verify.decision_replay import DecisionReplayer, OffsetReader
from streams.verify.receipt_store import ReceiptStore
from streams.verify.replayed_control import PriceVersions
from streams.verify.replayed_state import ledger_adjustments
from tests.support.deployment import Deployment
from tests.support.recorded import FLEET, TOPICS
from tests.support.router_process import PARTITIONS, Process

LOGS: tuple[Log, ...] = ("queries", "deferred")
NANO = 10**9
WINDOWS = ("none", "minute", "hour", "day")
AMOUNTS = {"currency": (0, 2_000), "tokens": (0, 1_000), "requests": (0, 20)}
MODELS = ('"all"', '["small"]', '["l*"]', '["small", "large"]', '["new", "small"]')
TENANTS = ('"all"', '"each"', '["shop"]', '["shop", "bank"]')
ACCOUNTS = ("small", "large", "l0", "l1", "l2", "new", "nobody")


@st.composite
def sections(draw: st.DrawFn) -> str:
    """Sections of sluice.toml: models with budgets or none, up to three limits, tenants' parts."""
    found: list[str] = []
    units: dict[str, str] = {}
    for model in FLEET.names:
        if draw(st.booleans()):
            units[model] = "currency"
            limit = _amount(draw, "currency")
            found.append(f"[models.{model}.budget]\nlimit = {limit}\n{_window(draw)}")
    covered = len(units) == len(FLEET)
    for number in range(draw(st.integers(0 if covered else 1, 3))):
        unit = draw(st.sampled_from(sorted(AMOUNTS)))
        units[f"l{number}"] = unit
        found.append(
            f'[limits.l{number}]\namount = {_amount(draw, unit)}\nunit = "{unit}"\n'
            f"models = {draw(st.sampled_from(MODELS if covered or number else MODELS[:1]))}\n"
            f"tenants = {draw(st.sampled_from(TENANTS))}\n{_window(draw)}"
        )
    if draw(st.booleans()):
        name, unit = draw(st.sampled_from(list(units.items())))
        found.append(f"[tenants.shop.limits]\n{name} = {_amount(draw, unit)}")
    return "\n".join(found)


def _amount(draw: st.DrawFn, unit: str) -> str:
    amount = draw(st.integers(*AMOUNTS[unit]))
    return f"{amount / NANO:.9f}" if unit == "currency" else str(amount)


def _window(draw: st.DrawFn) -> str:
    carry = "true" if draw(st.booleans()) else "false"
    return f'window = "{draw(st.sampled_from(WINDOWS))}"\ncarry_over = {carry}\n'


numbers = st.integers(0, PARTITIONS - 1)
queries = st.lists(
    st.tuples(
        st.integers(0, 30),  # the id: some come twice
        st.sampled_from([None, "shop", "bank", "guest"]),
        st.integers(1, 40),  # max_tokens
        st.sampled_from([None, ["small"], ["large"], ["new", "small"]]),
    ),
    min_size=1,
    max_size=6,
)
kinds = st.sampled_from(
    ["usage", "usage", "cost", "failed", "refused", "estimated", "unknown", "dear", "other", "bad"]
)
answers = st.lists(st.tuples(st.integers(0, 100), kinds, st.floats(0, 1)), min_size=1, max_size=4)
commands = st.one_of(
    st.builds(
        BudgetControl,
        model=st.sampled_from(ACCOUNTS),
        limit=st.sampled_from([0, 5, 100, 1_000, 3_000]),
        tenant=st.sampled_from([None, None, "shop", "guest"]),
    ),
    st.builds(
        ModelControl,
        name=st.sampled_from(["small", "large", "new"]),
        action=st.sampled_from(["pause", "resume", "remove"]),
    ),
    st.builds(
        ModelControl,
        name=st.sampled_from(["new", "l0", "large"]),
        action=st.just("add"),
        input_price=st.just(10**6),
        output_price=st.just(10**6),
        limit=st.integers(0, 2_000),
        window=st.sampled_from(WINDOWS),
        carry_over=st.booleans(),
    ),
)


class LimitsMachine(RuleBasedStateMachine):
    """Everything that can happen to a deployment's money, in any order."""

    @initialize(config=sections())
    def begin(self, config: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.deployment = Deployment(config)
        self.run(self.deployment.start())
        self.round()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)

    def at(self, number: int, work: Callable[[Process], Coroutine[Any, Any, None]]) -> None:
        """Do something in a process; where its log fails it dies and comes back."""
        process = self.deployment.processes[number]
        try:
            self.run(work(process))
        except KafkaException:
            self.run(process.start())

    @rule(number=numbers, asked=queries)
    def route(
        self, number: int, asked: list[tuple[int, str | None, int, list[str] | None]]
    ) -> None:
        values = [
            orjson.dumps(
                {
                    "id": f"{number}-{id}",
                    "prompt": "?",
                    "max_tokens": tokens,
                    "embedding": [1, 0],
                    **({"tenant": tenant} if tenant else {}),
                    **({"allowed_models": models} if models else {}),
                }
            )
            for id, tenant, tokens, models in asked
        ]
        self.at(number, lambda process: process.route(values))

    @rule(number=numbers, given=answers)
    def settle(self, number: int, given: list[tuple[int, str, float]]) -> None:
        rows = self.deployment.processes[number].open()
        if rows:
            values = [answer(rows[which % len(rows)], kind, part) for which, kind, part in given]
            self.at(number, lambda process: process.settle(values))

    @rule(number=numbers, which=st.integers(0, 100), back=st.booleans())
    def a_worker_begins(self, number: int, which: int, back: bool) -> None:
        """Or gives back what it cannot call."""
        process = self.deployment.processes[number]
        if rows := process.open():
            decision = rows[which % len(rows)].receipt.decision_id
            (process.returned if back else process.begun).add(decision)

    @rule(seconds=st.sampled_from([1.0, 20.0, 61.0, 3_600.0, 90_000.0]))
    def time_passes(self, seconds: float) -> None:
        """Never back: which of two logs was decided first, receipts tell by their times."""
        self.deployment.now += seconds

    @rule(number=numbers)
    def expire(self, number: int) -> None:
        self.at(number, lambda process: process.expire())

    @rule(number=numbers)
    def retry(self, number: int) -> None:
        self.at(number, lambda process: process.retry())

    @rule(number=numbers)
    def report(self, number: int) -> None:
        self.deployment.report(number)

    @rule(again=st.integers(0, 5))
    def plan(self, again: int) -> None:
        self.run(self.deployment.plan(again))

    @rule(number=numbers)
    def take_grants(self, number: int) -> None:
        self.at(number, lambda process: process.take_grants())

    @rule()
    def round(self) -> None:
        """All report, and take what they are granted."""
        for number in range(PARTITIONS):
            self.report(number)
        self.plan(0)
        for number in range(PARTITIONS):
            self.take_grants(number)

    @rule(message=commands)
    def command(self, message: BudgetControl | ModelControl) -> None:
        self.deployment.commands.command(message)

    @rule(number=numbers)
    def follow(self, number: int) -> None:
        self.deployment.processes[number].follow()

    @rule()
    def the_controller_follows(self) -> None:
        self.deployment.follow(self.deployment.control)

    @rule(number=numbers, records=st.integers(0, 12))
    def a_kill_is_near(self, number: int, records: int) -> None:
        """After so many records more."""
        self.deployment.processes[number].outbox.left = records

    @rule()
    def kill_the_controller(self) -> None:
        self.deployment.start_controller()

    @invariant()
    def nothing_is_negative(self) -> None:
        for process in self.deployment.processes:
            ledger = process.partition.ledger
            for column in (ledger.share, ledger.reserved, ledger.spent, ledger.carried):
                assert (column >= 0).all()
            for account in ledger.accounts().values():
                assert all(min(held) >= 0 for held in account.past.values())

    @invariant()
    def no_window_uses_more_than_the_limit(self) -> None:
        """But for what a backend charged above its reservation."""
        drawn: Counter[tuple[str, int]] = Counter()
        excess: Counter[str] = Counter()
        for process in self.deployment.processes:
            for name, account in process.partition.ledger.accounts().items():
                used = max(account.spent + account.reserved - account.carried, 0)
                drawn[name, account.window] += used
                assert used <= account.share + sum(
                    over for (other, _), over in process.excess.items() if other == name
                )
            for (name, _), over in process.excess.items():
                excess[name] += over
        for (name, _), amount in drawn.items():
            assert amount <= self.deployment.limit_of(name) + excess[name], name

    @invariant()
    def reservations_are_those_of_open_rows(self) -> None:
        for process in self.deployment.processes:
            wanted: Counter[tuple[str, int]] = Counter()
            for row in process.open():
                for part in () if row.expired else holdings(row.receipt):
                    wanted[part.account, row.window if part.window is None else part.window] += (
                        part.amount
                    )
            found: Counter[tuple[str, int]] = Counter()
            for name, account in process.partition.ledger.accounts().items():
                for begin, (reserved, _) in account.past.items():
                    found[name, begin] += reserved
                found[name, account.window] += account.reserved
            assert +found == +wanted

    def teardown(self) -> None:
        if not hasattr(self, "deployment"):
            return
        try:
            self.come_to_rest()
            for process in self.deployment.processes:
                compare(self.deployment, process)
        finally:
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            self.deployment.threads.shutdown()

    def come_to_rest(self) -> None:
        """Everything is followed and answered: then nothing is reserved."""
        self.deployment.follow(self.deployment.control)
        for process in self.deployment.processes:
            process.outbox.left = None
            process.follow()
            self.run(process.route([]))
            self.run(process.retry())
            self.run(process.settle([answer(row, "usage", 0.5) for row in process.open()]))
            assert not process.open()
        for _ in range(4):
            self.round()
        self.nothing_is_negative()
        self.no_window_uses_more_than_the_limit()
        self.reservations_are_those_of_open_rows()


def answer(row: Row, kind: str, part: float) -> bytes:
    """A result of some kind for a decision."""
    receipt = row.receipt
    given: dict[str, Any] = {
        "id": receipt.id,
        "decision_id": receipt.decision_id,
        "model": receipt.model,
        "status_code": {"failed": 500, "refused": 400, "estimated": 504}.get(kind, 200),
    }
    if kind == "usage":
        tokens = int(part * (receipt.max_tokens or 0))
        given["usage"] = {"prompt_tokens": 1, "completion_tokens": tokens}
    elif kind in ("cost", "estimated", "dear"):
        given["cost"] = int(part * receipt.reserved) + (receipt.reserved if kind == "dear" else 0)
        given["estimated"] = kind == "estimated"
    elif kind == "other":
        given["model"] = "large" if receipt.model == "small" else "small"
    elif kind == "bad":
        given["cost"] = -1
    return orjson.dumps(given)


def compare(deployment: Deployment, process: Process) -> None:
    """The accounts are those that the log adds up to, and its decisions come out the same."""
    number, commands = process.number, deployment.commands
    changelog = process.log(TOPICS.changelog)
    known = Registry.of(commands.control, models=deployment.parts.taken_names)
    catalog = ModelCatalog([*FLEET.models, *known.newcomers()])
    with ReceiptStore(TOPICS) as store:
        store.fill(process.log(TOPICS.receipts))
        logged = list(store.of_partition(number))
    receipts = {
        log: [one for one, _ in logged if one.source.topic == getattr(TOPICS, log)] for log in LOGS
    }
    found = audit(
        number,
        catalog,
        ReceiptLogs(
            {log: iter(some) for log, some in receipts.items()},
            {log: some[-1].source.offset if some else -1 for log, some in receipts.items()},
        ),
        process.results,
        changelog,
    )
    assert found.differences == []
    assert found.late == 0
    replayer = DecisionReplayer(
        Indexes(deployment.parts, lambda _: None),
        TOPICS,
        PriceVersions(deployment.parts.new_policy, commands.prices),
        number,
        ledger_adjustments(changelog),
        process.results,
        commands.control,
    )
    readers = {log: OffsetReader(iter(process.log(getattr(TOPICS, log)))) for log in LOGS}
    taken = list(replayer.replay(logged, readers, lambda log, offset: True))
    assert replayer.done.differences == [], replayer.done.differences
    assert replayer.done.missing == {}
    assert [encode(one) for one in taken] == [data for _, data in logged]


# The suite runs the same examples each time; SLUICE_EXAMPLES=500 runs as many others.
EXAMPLES = int(os.environ.get("SLUICE_EXAMPLES", "0"))
LimitsMachine.TestCase.settings = settings(
    max_examples=EXAMPLES or 40, stateful_step_count=30, derandomize=not EXAMPLES
)
TestLimits = LimitsMachine.TestCase
