"""Prices, commands and indexes at run time, and the `Decider` that follows from them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
from confluent_kafka import Message

from router.budget.ledger import Ledger, owner, split
from router.budget.limits import tenants_in_force
from router.budget.windows import Calendar, Windowing
from router.estimation.observed import Observed
from router.estimation.scorer import QueryScorer
from router.policies.base import Policy
from schemas import Invalid, ModelControl, Prices
from schemas.fields import Unit
from schemas.price import TokenRatio
from schemas.wire import NewerFormat, decode
from streams.config.settings import Config
from streams.control.registry import Registry
from streams.kafka.fatal import die
from streams.routing.build import Parts
from streams.routing.decider import Decider

logger = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds within which commands that another process has followed must be found here."""

Listener = Callable[[Mapping[str, ModelControl]], None]
"""Called after each command, with the models that it has added."""


class ControlPlane:
    """Applies prices, commands and indexes as they come, on the event loop.

    Attributes:
        parts: On the index in use.
        decider: What decides now; replaced as a whole.
        registry: The state of the commands.
        calendar: The windows of all limits.
        token_ratios: Bytes per token as they were published last.
        observed: What decisions go by of these, tokens of images, and busy pools.
    """

    def __init__(self, config: Config, parts: Parts, topic: str) -> None:
        """Begin with the prices made from history, and without any command.

        Args:
            config: The configuration.
            parts: What follows from it and from the index.
            topic: Name of the topic of the commands, for error messages.
        """
        self._topic = topic
        self.parts = parts
        self.registry = Registry(config.tenant_limits(), config.taken_names())
        self.calendar = Calendar(config.windows())
        self._config = config
        self._policy = parts.new_policy()
        self._published: Mapping[str, Any] | None = None
        self.token_ratios: Mapping[str, TokenRatio] = {}
        self.observed = Observed()
        self._listeners: list[Listener] = []
        self._advanced = asyncio.Event()
        self.decider = self._new_decider(parts.scorer, 0)

    def listen(self, listener: Listener) -> None:
        """Have a function called after each command."""
        self._listeners.append(listener)

    def apply_prices(self, message: Message) -> None:
        """Decide by the prices of a record of `prices`, if they are new."""
        try:
            prices = decode(Prices, message.value())
            newer = prices.version > self.decider.price_version
            if prices.policy != self._policy.name or not newer:
                return
            policy = _copy(self._policy)
            policy.restore(prices.state)
            self._published, self.token_ratios = prices.state, prices.token_ratios
            self.observed = Observed.of(prices)
        except (Invalid, NewerFormat, ValueError) as error:
            logger.error("prices at offset %s are passed over: %s", message.offset(), error)
            return
        self._policy = policy
        self.decider = self._new_decider(self.decider.scorer, prices.version)

    def apply_command(self, message: Message) -> None:
        """Follow a record of `control`."""
        try:
            why_not = self.registry.read(message.key(), message.value(), message.offset() or 0)
        except NewerFormat as error:  # it may stop a model or lower a limit
            die(f"a command cannot be followed: {error}")
        if why_not:
            logger.error("control at offset %s is passed over: %s", message.offset(), why_not)
        scorer = self.decider.scorer
        newcomers = len(scorer.catalog) - len(scorer.known)
        added = dict(list(self.registry.added.items())[newcomers:])
        for name, command in added.items():
            window = Windowing(command.window, command.time_zone, command.start)
            self.calendar.add(name, window)
        if added:
            scorer = scorer.with_newcomers(self.registry.newcomers())
        self.decider = self._new_decider(scorer, self.decider.price_version)
        for listener in self._listeners:
            listener(added)
        self._advanced.set()

    def apply_index(self, parts: Parts, policy: Policy) -> None:
        """Decide by another index from the next chunk on.

        Published prices stay; those made from history are made from the new one. How much is
        explored follows from the index.

        Args:
            parts: On that index.
            policy: That these have made.
        """
        self.parts = parts
        if self._published is not None:
            policy.restore(self._published)
        self._policy = policy
        scorer = parts.scorer.with_newcomers(self.registry.newcomers())
        self.decider = self._new_decider(scorer, self.decider.price_version)

    def prices(self) -> Mapping[str, float]:
        """Return the prices in use, quality per nano-unit by model; empty without any."""
        return self._policy.snapshot().get("prices") or {}

    async def wait_for(self, version: int) -> None:
        """Wait until commands have been followed up to a version.

        Raises RuntimeError where the topic `control` ends before it.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                while self.registry.version < version:
                    self._advanced.clear()
                    await self._advanced.wait()
        except TimeoutError:
            raise RuntimeError(
                f"{self._topic} ends at offset {self.registry.version}, but decisions were "
                f"taken under commands up to {version}: has the topic been deleted and made again?"
            ) from None

    def full_limits(self) -> dict[str, int]:
        """Return the amounts of limits as configured and commanded, by limit and by account."""
        return self.registry.limits(self._configured_limits())

    def units(self) -> dict[str, Unit]:
        """Return what limits count that are not a model's own, by name."""
        models = self.decider.scorer.catalog.index
        return {one.name: one.unit for one in self.decider.limits.limits if one.name not in models}

    def limits(self) -> dict[str, int]:
        """Return the amounts in force: newcomers may use a part of theirs."""
        part = self._config.newcomers.budget
        return self.registry.allotted(self._configured_limits(), part)

    def in_force(self, ledger: Ledger, tenants: Iterable[str | None] = ()) -> frozenset[str]:
        """Return the accounts of single tenants that apply on a partition.

        Args:
            ledger: Of the partition.
            tenants: Who is asking now.
        """
        return tenants_in_force(self.decider.limits, ledger, self.decider.tenants, tenants)

    @property
    def partitions(self) -> int:
        """Number of partitions with which a deployment begins."""
        return self._config.topics.partitions

    def new_ledger(self, number: int, among: int) -> Ledger:
        """Make a partition's ledger, with the shares that it has before its first state record.

        Args:
            number: The partition.
            among: Partitions among which the limits are divided at first: one that was added later
                has nothing before a grant.
        """
        # Never more than the file says, whatever commands say: before a grant, all count on it.
        configured, now = self._configured_limits(), self.limits()
        each = self.parts.limits.each
        shares = [
            0 if name in each or number >= among else split(min(limit, now[name]), among)[number]
            for name, limit in configured.items()
        ]
        allowances = self._config.allowances()
        carry_over = [allowances[owner(name)[0]].carry_over for name in configured]
        ledger = Ledger(list(configured), np.array(shares), np.array(carry_over))
        for name, command in self.registry.added.items():
            ledger.add(name, command.carry_over)
        ledger.limit_tenants(tenants_in_force(self.parts.limits, ledger, self.registry.tenants))
        return ledger

    def _configured_limits(self) -> dict[str, int]:
        return dict(self.parts.amounts) | self._config.tenant_limits()

    def published(self) -> Mapping[str, Any] | None:
        """Return the state of the policy that was published last; None where none was."""
        return self._policy.snapshot() if self.decider.price_version else None

    def _new_decider(self, scorer: QueryScorer, price_version: int) -> Decider:
        scorer = scorer.following(self._policy.snapshot(), self.observed)
        return Decider(
            scorer=scorer,
            policy=self.parts.with_trials(self._policy, scorer.catalog),
            limits=self.parts.limits.extended(self.registry.added),
            open=self.registry.open(scorer.catalog.names),
            price_version=price_version,
            control_version=self.registry.version,
            tenants=self.registry.tenants,
            floors=self.registry.floors(self.parts.floors),
        )


def _copy(policy: Policy) -> Policy:
    """Copy a policy with all that it has learned; catalogs are immutable, and shared."""
    return deepcopy(policy, {id(policy.catalog): policy.catalog})
