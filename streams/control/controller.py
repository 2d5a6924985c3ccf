"""Agent `control`: moves shares of the budgets to where they are needed, and solves prices.

One partition, so one process at a time. While it is down, routers go on with the prices and
shares that they hold. Its accounts are in a changelog of their own; the window of
estimates that prices are learned from fills again from the next reports.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

import numpy as np

from router.arrays import Floats, Ints
from router.budget.horizon import Horizon
from router.budget.shares import ShareAllocator
from router.models.catalog import ModelCatalog
from router.policies.base import Policy
from schemas import Invalid, Prices, Rejected, ShareReport, Source
from schemas.wire import decode, encode
from streams.kafka.producer import Outbox
from streams.kafka.topics import Topics

logger = logging.getLogger(__name__)

MOST = 2.0**62
"""Most nano-units that a solution uses: the product with a factor must fit 64 bits."""
Save = Callable[[dict[str, Any]], Awaitable[None]]
"""Writes the accounts to the changelog; returns when they are acknowledged."""
Confirm = Callable[[], Awaitable[None]]
"""Returns if these accounts are the newest; raises if another controller has taken over."""


class Controller:
    """Plans shares and prices for the remaining money and the expected queries.

    Size: its collaborators are passed in one by one, so that tests can replace each.
    """

    def __init__(
        self,
        catalog: ModelCatalog,
        policy: Policy,
        allocator: ShareAllocator,
        save: Save,
        confirm: Confirm,
        horizon: Horizon,
        outbox: Outbox,
        topics: Topics,
        every: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Start at version 0.

        Args:
            catalog: the models.
            policy: this controller's own instance, warmed from history.
            allocator: divides the limits into shares.
            save: writes the accounts to the changelog.
            confirm: checks that this controller still owns them.
            horizon: forecasts the queries that the remaining money is for.
            outbox: publishes grants and prices.
            topics: names of the topics.
            every: least seconds between two solutions of the prices.
            clock: Unix seconds.
        """
        self._catalog = catalog
        self._policy = policy
        self._allocator = allocator
        self._save = save
        self._confirm = confirm
        self._horizon = horizon
        self._outbox = outbox
        self._topics = topics
        self._every = every
        self._clock = clock
        self._solved_at = 0.0
        self._closed: frozenset[str] = frozenset()
        self._solved_for: object = None
        self._prices: dict[str, Any] | None = None
        self._granted_at = clock()
        self._seen: dict[int, ShareReport] = {}
        self.version = 0

    async def follow(self, records: Sequence[Any]) -> None:
        """Take in a chunk of reports; grant shares, and solve prices if due."""
        await self._reject([refused for record in records if (refused := self._take(record))])
        await self._grant()
        now = self._clock()
        if self._seen and now - self._solved_at >= self._every:
            self._solved_at = now
            await self._solve()

    def limit(self, limits: dict[str, int], closed: Collection[str] = ()) -> None:
        """Set limits and models that take no queries; shares follow with the next grants.

        Args:
            limits: Nano-units by account.
            closed: Models that are paused or removed: prices count on none of their money.
        """
        self._allocator.limits = limits
        self._closed = frozenset(closed)

    def learn_anew(self, policy: Policy) -> None:
        """Solve prices by another policy instance from now on: that of a new index."""
        self._policy = policy
        self._solved_for = None

    def _take(self, record: Any) -> Rejected | None:
        try:
            report = decode(ShareReport, record.value)
            self._allocator.observe(report, self._horizon.latest(self._clock()))
            before = self._seen.get(report.partition)
            if before is None or before.sequence < report.sequence:
                self._seen[report.partition] = report
                quality, cost = self._sample(report)
                if len(quality):
                    self._policy.observe(quality, cost)
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
        await self._save(self._allocator.snapshot())
        batch = self._outbox.batch()
        for grant in grants:
            key = str(grant.partition).encode()
            batch.send(self._topics.share_grants, encode(grant), key, grant.partition)
        await batch.delivered()

    async def _solve(self) -> None:
        """Solve prices where enough queries have arrived, or anything else has changed."""
        now, left = self._clock(), self._allocator.remaining()
        money = [0 if name in self._closed else left.get(name, 0) for name in self._catalog.names]
        remaining = np.array(money, dtype=np.int64)
        arrived = sum(report.arrivals for report in self._seen.values())
        expected, factor = self._horizon.expected(now, arrived)
        remaining = np.minimum(remaining * factor, MOST).astype(np.int64)
        if (basis := self._basis(now, money, arrived)) != self._solved_for:
            self._solved_for = basis
            self._policy.outdate()
        if await asyncio.to_thread(self._policy.plan, remaining, expected):
            state = self._policy.snapshot()
            prices = {name: value for name, value in state.items() if name != "version"}
            if prices != self._prices:
                self._prices = prices
                self.version += 1
                await self._publish(remaining, expected)

    def _basis(self, now: float, money: Sequence[int], arrived: int) -> object:
        """Return what prices follow from beside arrivals, and with them while queries wait.

        A waiting query is decided again by new prices only, so any money that has come free counts.
        """
        waiting = sum(report.waiting for report in self._seen.values())
        return (
            dict(self._allocator.limits),
            self._horizon.latest(now),
            self._closed,
            (waiting, list(money), arrived) if waiting else None,
        )

    def _sample(self, report: ShareReport) -> tuple[Floats, Floats]:
        """Put a report's sample in the order of the catalog; models it lacks get quality 0."""
        shape = (len(report.quality), len(self._catalog))
        quality, cost = np.zeros(shape), np.ones(shape)
        for column, name in enumerate(report.columns):
            model = self._catalog.index.get(name)
            if model is not None:
                quality[:, model] = [row[column] for row in report.quality]
                cost[:, model] = [row[column] for row in report.cost]
        return quality, cost

    async def _publish(self, remaining: Ints, expected: float) -> None:
        prices = Prices(
            policy=self._policy.name,
            version=self.version,
            state=self._policy.snapshot(),
            solved_at=self._clock(),
            expected=expected,
            remaining=dict(zip(self._catalog.names, remaining.tolist(), strict=True)),
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
