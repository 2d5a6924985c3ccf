"""What one router process does with the partitions that Kafka has assigned to it."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import time
from typing import Any

import faust
import numpy as np
import orjson
from confluent_kafka import Message
from faust.types import TP

from router.budget.horizon import Horizon
from router.budget.ledger import Ledger, owner, split
from router.budget.shares import ShareAllocator
from router.budget.windows import Calendar, Windowing
from schemas import Invalid, Prices
from schemas.wire import decode, encode
from streams.config.settings import Config
from streams.control.controller import Controller
from streams.control.grants import Grants
from streams.control.registry import Registry
from streams.control.reports import report
from streams.ingest.pipeline import PartitionPipeline
from streams.kafka.fatal import or_die
from streams.kafka.follower import Follower
from streams.kafka.logs import Logs
from streams.kafka.producer import Outbox
from streams.kafka.topics import Topics
from streams.metrics.router import Address, Live, Metrics
from streams.routing.build import Parts
from streams.routing.deferred_retry import DeferredRetry
from streams.routing.reindex import follow_index
from streams.routing.route import Router
from streams.routing.settle import Settler
from streams.state.ownership import IDLE, Ownership
from streams.state.partition import Partition, control_version
from streams.state.store import PartitionStore

logger = logging.getLogger(__name__)

THREADS = 2
"""Chunks that are embedded and estimated at the same time."""
ACCOUNTS_KEY = b"accounts"
NEWEST_PRICES = 100
"""Records of `prices` that a start reads. Each holds all prices; the older ones are for replays."""
PATIENCE = 30.0
"""Seconds in which orders that another process has followed must be found here."""


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
        metrics: Address | None = None,
    ) -> None:
        """`partitions` and `accounts` are the tables; metrics: where Prometheus may ask. Nothing is
        opened yet.
        """
        self._config = config
        self._parts = parts
        self._core = parts.core
        self._limits = parts.limits
        self._new_policy = parts.new_policy
        self._policy = parts.new_policy()
        self._topics = topics
        self._app = app
        self._table = partitions
        self._accounts = accounts
        self._partitions: dict[int, Partition] = {}
        self._claims: dict[int, asyncio.Task[Ownership]] = {}
        self._controller: Controller | None = None
        self._accounts_of: Ownership | None = None
        self._logs = Logs(config.broker)
        self._price_version = 0
        self._tenants = config.tenant_limits()
        self._registry = Registry(self._tenants, config.models)
        self._new_orders = asyncio.Event()
        self._calendar = Calendar(config.windows())
        self._carries = {name: config.allowance(name).carry_over for name in config.models}
        self.lanes: Mapping[str, PartitionPipeline] = {}
        self._metrics = Metrics(parts.core.catalog.names, self._live)
        self._metrics_at = metrics
        self._stop_metrics: Callable[[], None] = _nothing

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
            self._metrics,
        )
        self._router = Router(*parts, "queries", self._config.deferral.max_waiting)
        self._again = Router(*parts, "deferred", sys.maxsize)
        self._settler = Settler(self._core.catalog, self._outbox, self._topics, self._metrics)
        self._grants = Grants(self._outbox, self._topics)
        self.lanes = {
            "route": PartitionPipeline("routing", self._estimate, self._decide),
            "settle": PartitionPipeline("settling", _as_it_is, self._settle),
            "grant": PartitionPipeline("taking shares", _as_it_is, self._grant),
            "control": PartitionPipeline("planning", _as_it_is, self._control),
        }
        self._prices = Follower(
            servers, self._topics.prices, self._on_prices, security, newest=NEWEST_PRICES
        )
        self._orders = Follower(servers, self._topics.control, self._on_control, security)
        await self._prices.caught_up()
        await self._orders.caught_up()
        self._readmission = DeferredRetry(
            servers, security, self._topics.deferred, self._again, self._partitions
        )
        passes = self._readmission.run(self._config.deferral.retry_seconds)
        indexes = follow_index(self._config, self._parts, self._take_index)
        self._passes = [
            asyncio.create_task(or_die("looking at deferred queries", passes)),
            asyncio.create_task(or_die("following the index", indexes)),
        ]
        if self._metrics_at is not None:
            self._stop_metrics = self._metrics.serve(*self._metrics_at)

    async def give_up(self) -> None:
        """Finish what is being decided and forget everything that may change hands."""
        await asyncio.gather(*(lanes.close() for lanes in self.lanes.values()))
        # A claim that arrived later would supersede the next owner.
        await asyncio.gather(*self._claims.values(), return_exceptions=True)
        self._claims.clear()
        for each in self._partitions.values():
            async with each.lock:
                each.owned = False
        self._partitions.clear()
        self._router.samples.clear()
        self._controller = None
        if self._accounts_of is not None:
            await self._accounts_of.release()
            self._accounts_of = None

    async def close(self) -> None:
        """Disconnect."""
        for task in self._passes:
            task.cancel()
        await asyncio.gather(*self._passes, return_exceptions=True)
        self._stop_metrics()
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
            if self._app.rebalancing or tp not in self._app.consumer.assignment():
                break
            if tp.topic == self._topics.queries:
                each = await self._partition(tp.partition)
                async with each.lock:
                    each.limit_tenants(self._registry.tenants)
                    message = report(each, self._router.samples[each.number])
                batch.send(self._topics.share_reports, encode(message), b"%d" % each.number, 0)
        await batch.delivered()

    async def expire(self) -> None:
        """Release the reservations whose results have not come in time."""
        seconds = self._config.reservation.deadline_seconds
        for each in list(self._partitions.values()):
            await self._settler.expire(each, time(), seconds, self._calendar.begins)
            await each.stay()
        if self._accounts_of is not None:
            await self._accounts_of.confirm(IDLE)

    # Chunks, by agent

    async def _estimate(self, number: int, records: list[Any]) -> Any:
        return await self._router.prepare(await self._partition(number), records)

    async def _decide(self, number: int, estimated: Any) -> None:
        await self._router.finish(await self._partition(number), estimated)

    async def _settle(self, number: int, records: list[Any]) -> None:
        await self._settler.settle(await self._partition(number), records)

    async def _grant(self, number: int, records: list[Any]) -> None:
        await self._grants.take(await self._partition(number), records)

    async def _control(self, _: int, records: list[Any]) -> None:
        if self._controller is None:
            self._controller = await self._new_controller()
        self._controller.version = max(self._controller.version, self._price_version)
        self._controller.limit(self._limits_now())
        await self._controller.follow(records)

    # State

    async def _partition(self, number: int) -> Partition:
        """Return this process's view of a partition, claimed and loaded when first asked.

        It waits for the orders that the partition's last owner knew: what it says of a model that
        is not known here would be lost, and decisions would go back to older orders.
        """
        if number in self._partitions:
            return self._partitions[number]
        if number not in self._claims:
            claim = self._claim(self._topics.changelog, number, self._table.data)
            self._claims[number] = asyncio.create_task(claim)
        claimed = self._claims[number]
        ownership = await asyncio.shield(claimed)
        await self._follow_orders(control_version(ownership.store, number))
        if number in self._partitions:
            return self._partitions[number]
        partition = Partition(self._new_ledger(number), ownership)
        partition.control_version = self._registry.version
        partition.owned = self._claims.get(number) is claimed  # or it was revoked meanwhile
        if partition.owned:
            self._partitions[number] = partition
        return partition

    async def _claim(self, changelog: str, number: int, store: PartitionStore) -> Ownership:
        ownership = Ownership(changelog, number, store, self._outbox, self._logs)
        await ownership.claim()
        return ownership

    def _new_ledger(self, number: int) -> Ledger:
        """Make a ledger with the shares that a partition without a state begins with."""
        parts = self._config.topics.partitions
        # Never more than the file says, whatever orders say: until a grant, all count on it.
        limits, now = self._configured_limits() | self._tenants, self._limits_now()
        ledger = Ledger(
            list(limits),
            np.array([split(min(at, now[name]), parts)[number] for name, at in limits.items()]),
            np.array([self._carries[owner(name)[0]] for name in limits]),
        )
        for name, order in self._registry.added.items():
            ledger.add(name, order.carry_over)
        ledger.limit_tenants(self._registry.tenants)
        return ledger

    async def _follow_orders(self, version: int) -> None:
        """Wait until `control` has been read to an offset. Raises RuntimeError where it ends
        before."""
        try:
            async with asyncio.timeout(PATIENCE):
                while self._registry.version < version:
                    self._new_orders.clear()
                    await self._new_orders.wait()
        except TimeoutError:
            raise RuntimeError(
                f"{self._topics.control} ends at offset {self._registry.version}, but decisions "
                f"were taken under orders up to {version}: has the topic been made anew?"
            ) from None

    async def _new_controller(self) -> Controller:
        changelog = self._topics.controller_changelog
        own = self._accounts_of = await self._claim(changelog, 0, self._accounts.data)
        allocator = ShareAllocator(self._config.topics.partitions, self._limits_now())
        if (saved := own.store.read(0, ACCOUNTS_KEY)) is not None:
            allocator.restore(orjson.loads(saved))
        return Controller(
            self._core.known,
            self._new_policy(),
            allocator,
            lambda accounts: own.write({ACCOUNTS_KEY: orjson.dumps(accounts)}),
            own.confirm,
            Horizon(self._config.policy.expected_queries, self._config.windows(), self._calendar),
            self._outbox,
            self._topics,
            self._config.policy.resolve_seconds,
        )

    def _limits_now(self) -> dict[str, int]:
        part = self._config.newcomers.budget
        return self._registry.allotted(self._configured_limits() | self._tenants, part)

    def _configured_limits(self) -> dict[str, int]:
        return dict(zip(self._core.known.names, self._limits.tolist(), strict=True))

    def _on_control(self, message: Message) -> None:
        why_not = self._registry.read(message.key(), message.value(), message.offset() or 0)
        if why_not:
            logger.error("control at offset %s is passed over: %s", message.offset(), why_not)
        self._add_newcomers()
        for partition in self._partitions.values():
            partition.control_version = self._registry.version
        self._new_orders.set()

    def _add_newcomers(self) -> None:
        """Let everything here know of the models that orders have added."""
        added = list(self._registry.added.items())[
            len(self._core.catalog) - len(self._core.known) :
        ]
        if not added:
            return
        self._core = self._core.with_newcomers(self._registry.newcomers())
        for name, order in added:
            self._calendar.add(name, Windowing(order.window, order.time_zone, order.start))
            self._carries[name] = order.carry_over
            self._metrics.know(name)
        self._equip_routers()
        self._settler.catalog = self._core.catalog
        for partition in self._partitions.values():
            for name, order in added:
                partition.add(name, order.carry_over)

    def _take_index(self, parts: Parts) -> None:
        """Estimate by another index from the next chunk on. Prices go on; where there are none
        yet but those made from history, they are made from the new one."""
        self._parts = parts
        self._limits, self._new_policy = parts.limits, parts.new_policy
        self._core = parts.core.with_newcomers(self._registry.newcomers())
        if self._price_version == 0:
            self._policy = parts.new_policy()
        self._equip_routers()

    def _equip_routers(self) -> None:
        policy = self._parts.with_trials(self._policy, self._core.catalog)
        for router in (self._router, self._again):
            router.core, router.policy = self._core, policy

    def _live(self) -> Live:
        partitions = list(self._partitions.values())
        return Live(
            ledgers=[partition.ledger for partition in partitions],
            waiting=sum(partition.waiting for partition in partitions),
            prices=self._policy.snapshot().get("prices") or {},
            price_version=self._price_version,
            history=len(self._core.estimator.history),
            limits=self._registry.limits(self._configured_limits() | self._tenants),
            window_ends=self._calendar.ends(time()),
            backlog={each.number: self._backlog(each) for each in partitions},
            partitions=self._config.topics.partitions,
        )

    def _backlog(self, partition: Partition) -> int:
        """Records of `queries` that the broker had at the last fetch and that are not decided."""
        queries = TP(self._topics.queries, partition.number)
        end = None
        with suppress(AssertionError):  # the partition has just been revoked
            end = self._app.consumer.highwater(queries)
        return max((end or 0) - partition.positions["queries"].decided - 1, 0)

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


def _nothing() -> None:
    """Nothing was begun."""


async def _as_it_is(_: int, records: list[Any]) -> list[Any]:
    return records
