"""What one router process does with the partitions that Kafka has assigned to it."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from time import time
from typing import Any

import faust
import numpy as np
import orjson
from confluent_kafka import Message

from router.horizon import Horizon
from router.ledger import Ledger, owner, split
from router.shares import Allotment
from router.windows import Calendar
from schemas import Invalid, Prices, decode_control
from schemas.wire import decode, encode
from streams.build import Parts
from streams.config import Config
from streams.controller import Controller
from streams.fatal import or_die
from streams.follow import Follower
from streams.grants import Grants
from streams.lanes import Lanes
from streams.partition import Partition
from streams.producer import Outbox
from streams.readmit import Readmission
from streams.registry import Registry
from streams.reports import report
from streams.route import Router
from streams.settle import Settler
from streams.topics import Topics

logger = logging.getLogger(__name__)

THREADS = 2
"""Chunks that are embedded and estimated at the same time."""
ACCOUNTS_KEY = b"accounts"


class Process:
    """The parts of a process between its start and its end, and its partitions' state."""

    def __init__(
        self,
        config: Config,
        parts: Parts,
        topics: Topics,
        app: faust.App,
        partitions: Any,
        accounts: Any,
    ) -> None:
        """`partitions` and `accounts` are the tables; nothing is opened yet."""
        self._config = config
        self._core = parts.core
        self._limits = parts.limits
        self._new_policy = parts.new_policy
        self._policy = parts.new_policy()
        self._topics = topics
        self._app = app
        self._table = partitions
        self._accounts = accounts
        self._partitions: dict[int, Partition] = {}
        self._controller: Controller | None = None
        self._price_version = 0
        self._tenants = config.tenant_limits()
        self._registry = Registry(self._tenants)
        self._calendar = Calendar(config.windows())
        self._carries = {name: config.allowance(name).carry_over for name in config.models}
        self.lanes: Mapping[str, Lanes] = {}

    async def open(self) -> None:
        """Connect, and read the prices that there are."""
        servers, security = self._config.broker.servers, self._config.broker.security
        self._outbox = Outbox(servers, security)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="estimate")
        parts = (
            self._core,
            self._policy,
            self._outbox,
            self._topics,
            self._threads,
            self._registry,
            self._calendar,
        )
        self._router = Router(*parts, "queries", self._config.deferral.max_waiting)
        self._again = Router(*parts, "deferred", sys.maxsize)
        self._settler = Settler(self._core.fleet, self._outbox, self._topics)
        self._grants = Grants(self._outbox, self._topics)
        self.lanes = {
            "route": Lanes("routing", self._estimate, self._decide),
            "settle": Lanes("settling", _as_it_is, self._settle),
            "grant": Lanes("taking shares", _as_it_is, self._grant),
            "control": Lanes("planning", _as_it_is, self._control),
        }
        self._prices = Follower(servers, self._topics.prices, self._on_prices, security)
        self._orders = Follower(servers, self._topics.control, self._on_control, security)
        await self._prices.caught_up()
        await self._orders.caught_up()
        self._readmission = Readmission(
            servers, security, self._topics.deferred, self._again, self._partitions
        )
        passes = self._readmission.run(self._config.deferral.retry_seconds)
        self._passes = asyncio.create_task(or_die("looking at deferred queries", passes))

    async def give_up(self) -> None:
        """Finish what is being decided and forget everything that may change hands."""
        await asyncio.gather(*(lanes.close() for lanes in self.lanes.values()))
        for each in self._partitions.values():
            async with each.lock:
                each.owned = False
        self._partitions.clear()
        self._router.samples.clear()
        self._controller = None

    async def close(self) -> None:
        """Disconnect."""
        self._passes.cancel()
        await asyncio.gather(self._passes, return_exceptions=True)
        await self._readmission.close()
        self._prices.close()
        self._orders.close()
        self._outbox.close()
        self._threads.shutdown()

    async def report(self) -> None:
        """Tell the controller of every partition that this process owns."""
        if self._app.rebalancing or self._app.in_recovery:
            return
        batch = self._outbox.batch()
        for tp in sorted(self._app.consumer.assignment()):
            if tp.topic == self._topics.queries:
                each = self._partition(tp.partition)
                async with each.lock:
                    each.limit_tenants(self._registry.tenants)
                    message = report(each, self._router.samples[each.number])
                batch.send(self._topics.share_reports, encode(message), b"%d" % each.number, 0)
        await batch.delivered()

    async def expire(self) -> None:
        """Release the reservations whose results have not come in time."""
        seconds = self._config.reservation.deadline_seconds
        for each in list(self._partitions.values()):
            now = time()
            await self._settler.expire(each, now, seconds, self._calendar.begins(now))

    # Chunks, by agent

    async def _estimate(self, number: int, records: list[Any]) -> Any:
        return await self._router.prepare(self._partition(number), records)

    async def _decide(self, number: int, estimated: Any) -> None:
        await self._router.finish(self._partition(number), estimated)

    async def _settle(self, number: int, records: list[Any]) -> None:
        await self._settler.settle(self._partition(number), records)

    async def _grant(self, number: int, records: list[Any]) -> None:
        await self._grants.take(self._partition(number), records)

    async def _control(self, _: int, records: list[Any]) -> None:
        if self._controller is None:
            self._controller = self._new_controller()
        self._controller.version = max(self._controller.version, self._price_version)
        self._controller.limit(self._limits_now())
        await self._controller.follow(records)

    # State

    def _partition(self, number: int) -> Partition:
        """Return this process's view of a partition, loaded from the table when first asked."""
        if number not in self._partitions:
            parts, limits = self._config.topics.partitions, self._limits_now()
            ledger = Ledger(
                list(limits),
                np.array([split(limit, parts)[number] for limit in limits.values()]),
                np.array([self._carries[owner(name)[0]] for name in limits]),
            )
            ledger.limit_tenants(self._registry.tenants)
            self._partitions[number] = Partition(
                number,
                ledger,
                self._table.data,
                self._topics.changelog,
                self._outbox,
            )
        return self._partitions[number]

    def _new_controller(self) -> Controller:
        allotment = Allotment(self._config.topics.partitions, self._limits_now())
        if (saved := self._accounts.data.read(0, ACCOUNTS_KEY)) is not None:
            allotment.restore(orjson.loads(saved))
        return Controller(
            self._core.fleet,
            self._new_policy(),
            allotment,
            self._save_accounts,
            Horizon(self._config.policy.expected_queries, self._config.windows()),
            self._outbox,
            self._topics,
            self._config.policy.resolve_seconds,
        )

    def _limits_now(self) -> dict[str, int]:
        configured = zip(self._core.fleet.names, self._limits.tolist(), strict=True)
        return self._registry.limits(dict(configured) | self._tenants)

    async def _save_accounts(self, accounts: dict[str, Any]) -> None:
        rows = {ACCOUNTS_KEY: orjson.dumps(accounts)}
        batch = self._outbox.batch()
        batch.send(self._topics.controller_changelog, rows[ACCOUNTS_KEY], ACCOUNTS_KEY, 0)
        self._accounts.data.write(0, rows, await batch.delivered())

    def _on_control(self, message: Message) -> None:
        if message.value() is None:
            return
        try:
            why_not = self._registry.take(decode_control(message.value()))
        except Invalid as error:
            why_not = error.reason
        if why_not:
            logger.error("control at offset %s is passed over: %s", message.offset(), why_not)

    def _on_prices(self, message: Message) -> None:
        try:
            prices = decode(Prices, message.value())
            if prices.policy != self._policy.name or prices.version <= self._price_version:
                return
            self._policy.restore(prices.state)
        except (Invalid, ValueError) as error:
            logger.error("prices at offset %s are passed over: %s", message.offset(), error)
            return
        self._price_version = prices.version
        for follower in (self._router, self._again):
            follower.price_version = prices.version


async def _as_it_is(_: int, records: list[Any]) -> list[Any]:
    return records
