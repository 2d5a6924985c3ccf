"""The controller of the shares, in the process that is assigned the partition of the reports."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import orjson

from router.budget.horizon import Horizon
from router.budget.shares import ShareAllocator
from router.estimation.image_tokens import ImageMaxima
from router.estimation.token_ratio import TokenRatios
from router.models.busy_pools import BusyPools
from streams.config.settings import Config
from streams.control.controller import Controller
from streams.control.observations import Observations
from streams.kafka.logs import Logs
from streams.kafka.producer import Outbox
from streams.kafka.records import ConsumedRecord
from streams.kafka.topics import Topics
from streams.routing.build import Parts
from streams.runtime.control_plane import ControlPlane
from streams.state.ownership import IDLE, Ownership
from streams.state.store import PartitionStore

logger = logging.getLogger(__name__)

ACCOUNTS_KEY = b"accounts"
LONGEST_NUMBER = 10
"""Digits of a partition's number."""


class ControllerHost:
    """Starts a controller with the first report, and lets go of it when it is released."""

    def __init__(
        self,
        config: Config,
        topics: Topics,
        store: PartitionStore,
        control: ControlPlane,
        outbox: Outbox,
        logs: Logs,
        in_use: Callable[[int], Awaitable[int]],
    ) -> None:
        """Args:
        config: The configuration.
        topics: Where reports come from, and grants and prices go to.
        store: Storage of the controller's accounts.
        control: Knows limits, prices and windows.
        outbox: Publishes grants and prices, and writes the accounts.
        logs: Reads the changelog of the accounts.
        in_use: Returns how many partitions share the limits, given the number of one that reports.
        """
        self._in_use = in_use
        self._config = config
        self._topics = topics
        self._store = store
        self._control = control
        self._outbox = outbox
        self._logs = logs
        self._ownership: Ownership | None = None
        self._controller: Controller | None = None
        self._parts: Parts | None = None

    async def follow(self, records: Sequence[ConsumedRecord]) -> None:
        """Take in a chunk of reports, under the limits of now."""
        highest = max(map(_reporting, records), default=-1)
        in_use = await self._in_use(highest)
        if self._controller is None:
            self._controller = await self._start(in_use)
        if highest >= self._controller.partitions:
            self._controller.cover(in_use)
        version = self._control.decider.price_version
        self._controller.version = max(self._controller.version, version)
        if (parts := self._control.parts) is not self._parts:
            self._parts = parts
            self._controller.replace_policy(await asyncio.to_thread(parts.new_policy))
        self._controller.limit(self._control.limits(), self._control.registry.closed)
        await self._controller.follow(records)

    async def heartbeat(self) -> None:
        """Have an idle controller notice in time that another has taken over."""
        if self._ownership is not None:
            await self._ownership.confirm(IDLE)

    async def release(self) -> None:
        """Let go of the controller, after what is being written."""
        self._controller = None
        if self._ownership is not None:
            logger.info("gives up the controller")
            await self._ownership.release()
            self._ownership = None
            await asyncio.to_thread(self._store.close)

    async def _start(self, partitions: int) -> Controller:
        changelog = self._topics.controller_changelog
        own = Ownership(changelog, 0, self._store, self._outbox, self._logs)
        await own.claim()
        self._ownership = own
        logger.info("is the controller, of prices and shares")
        allocator = ShareAllocator(partitions, self._control.limits())
        policy, parts = self._config.policy, self._control.parts
        horizon = Horizon(
            policy.expected_queries,
            self._config.windows(),
            self._control.calendar,
            float(len(parts.scorer.estimator.history)),
        )
        if (saved := own.store.read(0, ACCOUNTS_KEY)) is not None:
            snapshot = orjson.loads(saved)
            allocator.restore(snapshot)
            if "arrivals" in snapshot:  # absent in what 0.1.0 wrote
                horizon.forecast.restore(snapshot["arrivals"])
        self._parts = parts
        learner = parts.new_policy()
        if learner.resumes and (published := self._control.published()) is not None:
            learner.restore(published)
        return Controller(
            parts.scorer.known,
            parts.limits,
            learner,
            allocator,
            lambda accounts: own.write({ACCOUNTS_KEY: orjson.dumps(accounts)}),
            own.confirm,
            horizon,
            self._outbox,
            self._topics,
            policy.resolve_seconds,
            observations=Observations(
                TokenRatios(self._control.token_ratios),
                ImageMaxima(self._control.observed.images),
                BusyPools(parts.scorer.known.models, self._control.observed.busy),
            ),
        )


def _reporting(record: ConsumedRecord) -> int:
    """Return the partition that a report's key names, -1 where it names none."""
    key = record.key or b""
    return int(key) if key.isdigit() and len(key) <= LONGEST_NUMBER else -1
