"""Agent `control`: moves shares of the budgets to where they are needed, and solves prices.

One partition, so one process at a time. While it is down, routers go on with the prices and
shares that they hold. Its accounts are in a changelog of their own; the window of
estimates that prices are learned from fills again from the next reports.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from router.arrays import Bools, Floats, Ints
from router.budget.horizon import Horizon
from router.budget.limits import LimitSet, closed_to, with_tenants
from router.budget.shares import ShareAllocator
from router.models.catalog import ModelCatalog
from router.policies.base import Policy
from router.policies.floors import Floor
from schemas import Invalid, Prices, Rejected, ShareReport, Source
from schemas.invalid import wrong
from schemas.wire import decode, encode
from streams.control.observations import Observations
from streams.kafka.producer import Outbox
from streams.kafka.topics import Topics

MOST = 2**62
"""Most of a limit that a solution uses."""
STEPS = 10.0
"""Expected arrivals that differ by less than one part in so many are the same."""
SAMPLE = 2000
"""Newest arrivals whose tenants are remembered."""
MOST_PRICED = 20
"""Accounts of tenants that have prices of their own; further ones are limits without a price."""
Save = Callable[[dict[str, Any]], Awaitable[None]]
"""Writes the accounts to the changelog; returns when they are acknowledged."""
Confirm = Callable[[], Awaitable[None]]
"""Returns if these accounts are the newest; raises if another controller has taken over."""


class Controller:
    """Plans shares and prices for the remaining money and the expected queries.

    Size: its collaborators are passed in one by one, so that tests can replace each.
    """

    # Of the last solution; before the first there is none.
    _solved_at = 0.0
    _solved_for: object = None
    _prices: Mapping[str, Any] | None = None

    def __init__(
        self,
        catalog: ModelCatalog,
        limits: LimitSet,
        policy: Policy,
        allocator: ShareAllocator,
        save: Save,
        confirm: Confirm,
        horizon: Horizon,
        outbox: Outbox,
        topics: Topics,
        every: float,
        clock: Callable[[], float] = time.time,
        observations: Observations | None = None,
    ) -> None:
        """Start at version 0.

        Args:
            catalog: the models.
            limits: what each configured limit covers.
            policy: this controller's own instance, warmed from history.
            allocator: divides the limits into shares.
            save: writes the accounts to the changelog.
            confirm: checks that this controller still owns them.
            horizon: forecasts the queries that the remaining money is for.
            outbox: publishes grants and prices.
            topics: names of the topics.
            every: least seconds between two solutions of the prices.
            clock: Unix seconds.
            observations: of the models' servers, as they were published last.
        """
        self._catalog = catalog
        self._limits = limits
        self._tenants: deque[str | None] = deque(maxlen=SAMPLE)
        self._priced: dict[str, None] = {}
        self._policy = policy
        self._allocator = allocator
        self._save, self._confirm = save, confirm
        self._horizon = horizon
        self._outbox, self._topics = outbox, topics
        self._every, self._clock = every, clock
        self._observations = observations or Observations()
        self._closed: frozenset[str] = frozenset()
        self._shape: tuple[tuple[str, ...], frozenset[str]] = (), frozenset()
        self._granted_at = clock()
        self._seen: dict[int, ShareReport] = {}
        self.version = 0

    async def follow(self, records: Sequence[Any]) -> None:
        """Take in a chunk of reports; grant shares, and solve prices if due.

        That a pool is busy, or is no longer, does not wait for that.
        """
        await self._reject([refused for record in records if (refused := self._take(record))])
        await self._grant()
        spills = self._observations.judge_pools(self.partitions)
        now = self._clock()
        if self._seen and now - self._solved_at >= self._every:
            self._solved_at = now
            await self._solve()
        elif spills and self._observations.take_news():
            await self._publish(self._policy.snapshot(), *self._outlook(now))

    def limit(self, limits: Mapping[str, int], closed: Collection[str] = ()) -> None:
        """Set limits and models that take no queries; shares follow with the next grants.

        Args:
            limits: Amounts by limit and by account.
            closed: Models that are paused or removed: prices count on none of them.
        """
        self._allocator.limits = with_tenants(limits, self._limits, self._allocator.reported())
        self._closed = frozenset(closed)

    @property
    def partitions(self) -> int:
        """Number of partitions that share the limits."""
        return self._allocator.partitions

    def cover(self, partitions: int) -> None:
        """Share the limits with partitions that have been added; nothing is granted before they
        have reported."""
        self._allocator.grow(partitions)

    def replace_policy(self, policy: Policy) -> None:
        """Solve prices by another policy instance from now on: that of a new index."""
        self._policy = policy
        self._solved_for = None
        self._shape = (), frozenset()

    def _take(self, record: Any) -> Rejected | None:
        try:
            report = decode(ShareReport, record.value)
            self._allocator.observe(report, self._horizon.latest(self._clock()))
            before = self._seen.get(report.partition)
            if before is None or before.sequence < report.sequence:
                self._seen[report.partition] = report
                self._horizon.forecast.observe(self._clock(), report.partition, report.arrivals)
                self._observe(report)
                self._learn(report)
        except Invalid as error:
            source = Source(record.topic, record.partition, record.offset)
            return Rejected.of(error, record.value, source)
        return None

    async def _grant(self) -> None:
        """Write the accounts before the grants that follow from them."""
        now = self._clock()
        grants = self._allocator.plan(now - self._granted_at)
        self._granted_at = now
        if not grants:
            return
        arrivals = self._horizon.forecast.snapshot()
        await self._save({**self._allocator.snapshot(), "arrivals": arrivals})
        batch = self._outbox.batch()
        for grant in grants:
            key = str(grant.partition).encode()
            batch.send(self._topics.share_grants, encode(grant), key, grant.partition)
        await batch.delivered()

    async def _solve(self) -> None:
        """Solve prices where enough queries have arrived, or anything else has changed."""
        self._follow_limits()
        now = self._clock()
        remaining, expected = self._outlook(now)
        waiting = sum(report.waiting for report in self._seen.values())
        if (basis := self._basis(now, remaining.tolist(), waiting, expected)) != self._solved_for:
            self._solved_for = basis
            self._policy.outdate()
        solved = await asyncio.to_thread(self._policy.plan, remaining, expected, waiting)
        state = self._policy.snapshot()
        if self._observations.take_news() or (solved and _prices(state) != self._prices):
            await self._publish(state, remaining, expected)

    def _outlook(self, now: float) -> tuple[Ints, Floats]:
        """Return what is left of each limit, int64[R], and for how many arrivals, float64[R]."""
        names, left = self._policy.limits.names, self._allocator.remaining()
        money = [0 if name in self._closed else min(left.get(name, 0), MOST) for name in names]
        arrived = sum(report.arrivals for report in self._seen.values())
        expected = self._horizon.expected(now, arrived, names)
        return np.array(money, dtype=np.int64), expected

    def _basis(self, now: float, money: Sequence[int], waiting: int, expected: Floats) -> object:
        """Return what prices follow from beside arrivals, and with them while queries wait.

        A waiting query is decided again by new prices only, so any money that has come free counts,
        and that fewer queries are expected.
        """
        pace = np.round(np.log(expected) * STEPS).tolist()
        return (
            dict(self._allocator.limits),
            self._horizon.latest(now),
            self._closed,
            (waiting, list(money), pace) if waiting else None,
        )

    def _follow_limits(self) -> None:
        """Have the policy know the limits of now, and models that take no queries.

        Accounts of tenants get prices of their own, as far as the program may grow.
        """
        if any(tenant is not None for tenant in self._tenants):
            for name in sorted(self._allocator.limits):
                if self._limits.tells_apart(name) and len(self._priced) < MOST_PRICED:
                    self._priced[name] = None
        shape = tuple(self._priced), self._closed
        if shape == self._shape:
            return
        self._shape = shape
        models = self._catalog.names
        known = self._limits.for_all(models).extended(self._limits.named(models, self._priced))
        known = replace(known, queries=self._covered(self._tenants))
        if self._closed:
            known = closed_to(known, np.array([name in self._closed for name in models]))
        self._policy.set_catalog(self._catalog, known)

    def _covered(self, tenants: Iterable[str | None]) -> Bools | None:
        """Return bool[R, n]: which limits cover n queries' tenants; None where each covers all."""
        if not self._priced:
            return None
        asking = list(tenants)
        known = self._limits.for_all(self._catalog.names)
        rows = [[True] * len(asking) for _ in known.names]
        rows += [self._limits.of_tenants(name, asking) for name in self._priced]
        return np.array(rows, dtype=np.bool_)

    def _observe(self, report: ShareReport) -> None:
        """Show the policy a report's sample."""
        tables = self._sample(report)
        if not len(tables[0]):
            return
        asking = [tenant or None for tenant in report.tenants] or [None] * len(tables[0])
        self._tenants.extend(asking)
        covered = self._covered(asking)
        if covered is not None and self._shape[1]:  # of models that take no queries
            covered = np.concatenate([covered, np.ones((1, len(asking)), dtype=np.bool_)])
        floors = _floors(report)
        self._policy.observe(*tables, queries=covered, floors=floors)

    def _learn(self, report: ShareReport) -> None:
        """Learn what a report's answers tell."""
        for game in report.games:
            self._policy.learn(game.model, game.results)
        if told := report.outcomes:
            scores, costs = ([one.score for one in told], [one.cost for one in told])
            models = [one.model for one in told]
            self._policy.see_outcomes(models, np.array(scores), np.array(costs))
        self._observations.learn(report)

    def _sample(self, report: ShareReport) -> list[Floats]:
        """Put a report's sample in the order of the catalog; models it lacks get quality 0."""
        given = [(report.quality, 0.0), (report.cost, 1.0)]
        if self._limits.measured:
            given.append((report.tokens or [[0.0] * len(report.columns)] * len(report.cost), 1.0))
        places = [self._catalog.index.get(name) for name in report.columns]
        columns = [column for column, model in enumerate(places) if model is not None]
        models = [model for model in places if model is not None]
        tables = []
        for rows, missing in given:
            table = np.full((len(rows), len(self._catalog)), missing)
            if len(rows) and columns:
                table[:, models] = np.array(rows, dtype=np.float64)[:, columns]
            tables.append(table)
        if self._limits.measured:
            tables.append(np.ones(tables[0].shape))  # requests
        return tables

    async def _publish(self, state: dict[str, Any], remaining: Ints, expected: Floats) -> None:
        names = self._policy.limits.names
        self._prices = _prices(state)
        self.version += 1
        prices = Prices(
            policy=self._policy.name,
            version=self.version,
            state=state,
            solved_at=self._clock(),
            expected=float(expected.max(initial=0.0)),
            remaining=dict(zip(names, remaining.tolist(), strict=True)),
            arrivals=dict(zip(names, expected.round(1).tolist(), strict=True)),
            **self._observations.snapshot(),
        )
        batch = self._outbox.batch()
        batch.send(self._topics.prices, encode(prices), prices.policy.encode(), 0)
        await batch.delivered()

    async def _reject(self, refused: Sequence[Rejected]) -> None:
        if refused:
            await self._confirm()  # to older accounts a good report may look untrue
        batch = self._outbox.batch()
        for rejected in refused:
            batch.send(self._topics.rejected, encode(rejected))
        await batch.delivered()


def _prices(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a policy's state that changes only where its prices do."""
    return {name: value for name, value in state.items() if name != "version"}


def _floors(report: ShareReport) -> list[Floor] | None:
    """Return the floors of a report's sample. Raises Invalid where one is none."""
    try:
        return [Floor.parse(name) for name in report.floors] or None
    except ValueError:
        raise wrong("floors", report.floors, "each must be a number from 0 to 1") from None
