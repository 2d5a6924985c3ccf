"""What must hold of shares while messages are lost, late and repeated, and processes are killed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from router.budget.ledger import Accounts
from router.budget.shares import ShareAllocator
from schemas import ShareGrant, ShareReport
from tests.support.share_routers import NAMES, SHOP, WINDOWED, Router

PARTITIONS = 3
LIMITS = {"cheap": 1_000, "good": 700, SHOP: 400}
ACCOUNTS = tuple(LIMITS)
"""In the order of the routers' ledgers."""


def drawn_by_window(accounts: Accounts, name: str) -> dict[int, int]:
    """Spent and reserved of one account, by window."""
    account = accounts[name]
    current = {account.window: account.spent + account.reserved - account.carried}
    return {begin: sum(held) for begin, held in account.past.items()} | current


numbers = st.integers(0, PARTITIONS - 1)
models = st.integers(0, 1)
amounts = st.integers(1, 300)
tenants = st.sampled_from(["", "shop", "guest"])
any_of_them = st.integers(0, 1_000)
"""Which of a list, counted from its newest."""
some = st.lists(numbers, unique=True, max_size=PARTITIONS)


class SharesMachine(RuleBasedStateMachine):
    """A network that keeps every message for ever and delivers any of them at any time."""

    def __init__(self) -> None:
        super().__init__()
        tenants = frozenset({SHOP})
        self.routers = [Router(number, tenants=tenants) for number in range(PARTITIONS)]
        self.allocator = ShareAllocator(PARTITIONS, LIMITS)
        self.row: str | None = None
        self.reports: list[ShareReport] = []
        self.grants: list[ShareGrant] = []
        self.limits = dict(LIMITS)
        self.ceiling = dict(LIMITS)

    @rule(number=numbers, model=models, amount=amounts, often=st.booleans(), tenant=tenants)
    def reserve(self, number: int, model: int, amount: int, often: bool, tenant: str = "") -> None:
        """Take one query, or query after query until one is refused."""
        while self.routers[number].take(model, amount, tenant) and often:
            pass

    @rule(number=numbers, which=any_of_them, actual=amounts)
    def settle(self, number: int, which: int, actual: int) -> None:
        router = self.routers[number]
        if router.open:
            router.settle(which % len(router.open), actual)

    @rule(number=numbers)
    def roll(self, number: int) -> None:
        self.routers[number].roll()

    @rule(number=numbers)
    def commit(self, number: int) -> None:
        self.routers[number].commit()

    @rule(number=numbers)
    def kill_a_router(self, number: int) -> None:
        self.routers[number].die()

    @rule(number=numbers, fresh=st.booleans())
    def report(self, number: int, fresh: bool) -> None:
        if fresh:
            self.routers[number].commit()
        self.reports.append(self.routers[number].report())

    @rule(which=any_of_them)
    def deliver_a_report(self, which: int) -> None:
        if self.reports:
            self._observe(self.reports[-1 - which % len(self.reports)])

    @rule(which=any_of_them)
    def deliver_a_grant(self, which: int) -> None:
        if self.grants:
            grant = self.grants[-1 - which % len(self.grants)]
            self.routers[grant.partition].apply(grant)

    @rule(elapsed=st.floats(0, 60), killed=st.booleans())
    def plan(self, elapsed: float, killed: bool) -> None:
        """The row is written before grants leave; a kill may come in between."""
        grants = self.allocator.plan(elapsed)
        if grants:
            self.row = json.dumps(self.allocator.snapshot())
        if killed:
            self.kill_the_controller()
        else:
            self.grants += grants

    @initialize()
    def a_fair_start(self) -> None:
        """Money is out with all partitions; `kill_the_controller` may still lose the row."""
        for model in (0, 1):
            self.round(model, None, list(range(PARTITIONS)), [], [])

    @rule(model=models, wanting=numbers, reached=some, spending=some, rolling=some, tenant=tenants)
    def round(
        self,
        model: int,
        wanting: int | None,
        reached: list[int],
        spending: list[int],
        rolling: list[int],
        tenant: str = "",
    ) -> None:
        """All report and one wants more; the grants reach some, who have meanwhile gone on."""
        if wanting is not None:
            self.routers[wanting].take(model, LIMITS[NAMES[model]] // 2, tenant)
        for router in self.routers:
            router.commit()
            self._observe(router.report())
        self.plan(1.0, False)
        for number in rolling:
            self.routers[number].roll()
        for number in spending:
            self.reserve(number, model, 10, True, tenant)
        for grant in self.grants[-PARTITIONS:]:
            if grant.partition in reached:
                self.routers[grant.partition].apply(grant)

    @rule()
    def kill_the_controller(self) -> None:
        self.allocator = ShareAllocator(PARTITIONS, self.limits)
        if self.row is not None:
            self.allocator.restore(json.loads(self.row))
            for name in ACCOUNTS:  # it knows no more of what came back after the row was written
                self.ceiling[name] = max(self.ceiling[name], self.allocator.granted(name))

    @rule(name=st.sampled_from(ACCOUNTS), part=st.integers(0, 4))
    def change_a_limit(self, name: str, part: int) -> None:
        limit = LIMITS[name] * part // 4
        self.limits[name] = self.allocator.limits[name] = limit
        self.ceiling[name] = max(limit, self.ceiling[name])

    def _observe(self, report: ShareReport) -> None:
        self.allocator.observe(report, latest={NAMES[WINDOWED]: 10**9})

    @invariant()
    def shares_never_sum_to_more_than_the_limit(self) -> None:
        """Neither in memory, nor after a kill, nor when all grants under way have come.

        Over a limit that was lowered, what is granted only falls.
        """
        known = None not in self.allocator.snapshot()["partitions"]
        for i, name in enumerate(ACCOUNTS):
            owned = sum(
                max(int(router.ledger.share[i]), router.log[0][name].share)
                for router in self.routers
            )
            assert owned <= self.ceiling[name] <= LIMITS[name]
            if known:
                assert owned <= self.allocator.granted(name) <= self.ceiling[name]
                self.ceiling[name] = max(self.allocator.granted(name), self.limits[name])

    @invariant()
    def no_window_uses_more_than_the_limit(self) -> None:
        for name in ACCOUNTS:
            total: dict[int, int] = {}
            for router in self.routers:
                for begin, amount in drawn_by_window(router.ledger.accounts(), name).items():
                    total[begin] = total.get(begin, 0) + amount
            assert max(total.values()) <= LIMITS[name]

    @invariant()
    def nobody_draws_more_than_its_share(self) -> None:
        for router in self.routers:
            assert (router.ledger.drawn() <= router.ledger.share).all()


SharesMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=60)
TestShares = SharesMachine.TestCase


@given(seed=st.integers(0, 2**32))
@settings(max_examples=50)
def test_a_long_life(seed: int) -> None:
    """The same holds after hundreds of steps, where every kind of trouble has met every other."""
    draw = random.Random(seed)
    machine = SharesMachine()
    machine.a_fair_start()

    def some_of_them() -> list[int]:
        return draw.sample(range(PARTITIONS), draw.randint(0, PARTITIONS))

    def number() -> int:
        return draw.randrange(PARTITIONS)

    def tenant() -> str:
        return draw.choice(["", "shop", "guest"])

    def newest() -> int:
        return int(draw.expovariate(0.2))

    steps: list[tuple[int, Callable[[], None]]] = [
        (
            9,
            lambda: machine.reserve(
                number(), model, draw.randint(1, 300), draw.random() < 0.5, tenant()
            ),
        ),
        (6, lambda: machine.settle(number(), newest(), draw.randint(0, 300))),
        (2, lambda: machine.roll(number())),
        (2, lambda: machine.commit(number())),
        (2, lambda: machine.kill_a_router(number())),
        (4, lambda: machine.report(number(), True)),
        (2, lambda: machine.report(number(), False)),
        (4, lambda: machine.deliver_a_report(newest())),
        (4, lambda: machine.deliver_a_grant(newest())),
        (4, lambda: machine.plan(1.0, draw.random() < 0.1)),
        (
            9,
            lambda: machine.round(
                model, number(), some_of_them(), some_of_them(), roll(), tenant()
            ),
        ),
        (1, lambda: machine.kill_the_controller()),
        (
            1,
            lambda: machine.change_a_limit(
                draw.choice(ACCOUNTS), draw.choice([0, 2, 3, 4, 4, 4, 4, 4])
            ),
        ),
    ]

    def roll() -> list[int]:
        return some_of_them() if draw.random() < 0.3 else []

    for step in draw.choices([step for _, step in steps], [often for often, _ in steps], k=300):
        model = draw.randrange(2)
        step()
        machine.shares_never_sum_to_more_than_the_limit()
        machine.no_window_uses_more_than_the_limit()
        machine.nobody_draws_more_than_its_share()
