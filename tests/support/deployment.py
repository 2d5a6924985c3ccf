"""A whole deployment in memory: the real routers, controller and commands, without a broker.

Time is what the test says.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, cast

import orjson
from confluent_kafka import Message

from router.budget.horizon import Horizon
from router.budget.ledger import owner
from router.budget.shares import ShareAllocator
from router.policies.base import Policy
from router.policies.primal_dual import PrimalDual
from schemas.control import Control, control_key
from schemas.wire import encode
from streams.config.settings import Config, load
from streams.control.controller import Controller
from streams.kafka.logs import Record
from streams.routing.build import Parts
from streams.runtime.control_plane import ControlPlane
from tests.support.recorded import (
    CORE,
    FLEET,
    TOPICS,
)
from tests.support.router_process import ATTEMPTS, PARTITIONS, CutOutbox, Process

SCORER = CORE.with_newcomers([])
SCORER.index = "one"


class _Message(NamedTuple):
    """A record of `control` or `prices` as confluent-kafka hands it over."""

    record: Record

    def key(self) -> bytes | None:
        return self.record.key

    def value(self) -> bytes | None:
        return self.record.value

    def offset(self) -> int:
        return self.record.offset


class Commands:
    """The topics `control` and `prices`, which every process follows at its own pace."""

    def __init__(self) -> None:
        self.control: list[Record] = []
        self.prices: list[Record] = []

    def command(self, message: Control) -> None:
        """Send an admin command."""
        key = control_key(message).encode()
        self.control.append(_record(TOPICS.control, len(self.control), encode(message), key))


class Deployment:
    """All processes, the controller, and the log between them.

    Size: it stands for a process that has as many parts.
    """

    def __init__(self, sections: str) -> None:
        """Args:
        sections: Of sluice.toml: limits, tenants, budgets of the models "small" and "large".
        """
        self.now = 1_000_000_000.0
        self.commands = Commands()
        self.reports: list[Record] = []
        self.threads = ThreadPoolExecutor(1)
        self.config = _config(sections)
        self.parts = self._new_parts()
        self.ceiling = dict(self.config.amounts()) | self.config.tenant_limits()
        """By limit or account, the most that it has ever been."""
        self._reported = 0
        self._outbox = CutOutbox()
        self._priced = 0
        self._row: bytes | None = None
        self.processes = [Process(number, self) for number in range(PARTITIONS)]

    async def start(self) -> None:
        """Start all processes."""
        for process in self.processes:
            await process.start()
        self.start_controller()

    def start_controller(self) -> None:
        """Start the controller, from its row if it has written one."""
        self.control = self.new_control()
        allocator = ShareAllocator(PARTITIONS, self.control.limits())
        if self._row is not None:
            allocator.restore(orjson.loads(self._row))
        calendar = self.control.calendar
        self._controller = Controller(
            FLEET,
            self.parts.limits,
            self.parts.new_policy(),
            allocator,
            self._save,
            self._confirm,
            Horizon(100, self.config.windows(), calendar),
            self._outbox,
            TOPICS,
            0.0,
            lambda: self.now,
        )

    async def plan(self, again: int = 0) -> None:
        """Have the controller take in the reports that have come, and the last ones `again`."""
        records = self.reports[max(self._reported - again, 0) :]
        self._reported = len(self.reports)
        limits = self.control.limits()
        for name, amount in limits.items():
            self.ceiling[name] = max(self.ceiling.get(name, 0), amount)
        self._controller.version = max(self._controller.version, len(self.commands.prices))
        self._controller.limit(limits, self.control.registry.closed)
        await self._controller.follow(records)
        sent = self._outbox.of(TOPICS.prices)
        for one in sent[self._priced :]:
            offset = len(self.commands.prices)
            self.commands.prices.append(Record(TOPICS.prices, 0, offset, 0, one.key, one.value, []))
        self._priced = len(sent)

    def report(self, number: int) -> None:
        """Have a process report."""
        value = self.processes[number].report()
        offset, key = len(self.reports), b"%d" % number
        self.reports.append(Record(TOPICS.share_reports, 0, offset, 0, key, value, []))

    def new_control(self) -> ControlPlane:
        """Return what has followed all commands and prices."""
        control = ControlPlane(self.config, self.parts, TOPICS.control)
        self.follow(control)
        return control

    def follow(self, control: ControlPlane) -> dict[str, Any]:
        """Have a process follow commands and prices; return all models that were added."""
        for record in self.commands.control[control.registry.version :]:
            control.apply_command(cast(Message, _Message(record)))
        for record in self.commands.prices[control.decider.price_version :]:
            control.apply_prices(cast(Message, _Message(record)))
        return control.registry.added

    def grants(self, number: int) -> list[Record]:
        """Return the grants to a partition."""
        found = self._outbox.of(TOPICS.share_grants)
        return [
            Record(one.topic, number, offset, 0, one.key, one.value, [])
            for offset, one in enumerate(one for one in found if one.partition == number)
        ]

    def limit_of(self, account: str) -> int:
        """Return the most that a limit has ever been."""
        return self.ceiling.get(account, self.ceiling.get(owner(account)[0], 0))

    async def _save(self, accounts: dict[str, Any]) -> None:
        self._row = orjson.dumps(accounts)

    async def _confirm(self) -> None:
        """Nobody else is the controller."""

    def _new_parts(self) -> Parts:
        limits = self.config.limit_set()
        known = limits.for_all(FLEET.names)

        def new_policy() -> Policy:
            policy = PrimalDual(FLEET, every=20)
            policy.set_catalog(FLEET, known)
            policy.restore({"version": 0, "prices": dict.fromkeys(known.names, 0.0)})
            return policy

        return Parts(
            SCORER, limits, self.config.amounts(), new_policy, trial=0.5, attempts=ATTEMPTS
        )


def _config(sections: str) -> Config:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sluice.toml"
        file.write_text(
            "[models.small]\ninput_price = 1\noutput_price = 2\n"
            "[models.large]\ninput_price = 3\noutput_price = 4\n"
            f"{sections}\n[topics]\npartitions = {PARTITIONS}\n"
            "[policy]\nexpected_queries = 100\n[newcomers]\nbudget = 0.5\n"
            '[index]\npath = "index"\n'
        )
        return load(file, {"SLUICE_BROKER": "127.0.0.1:1"})


def _record(topic: str, offset: int, value: bytes, key: bytes) -> Record:
    return Record(topic, 0, offset, 0, key, value, [])
