"""The partitions that this process owns: claimed, loaded, and given up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from confluent_kafka import KafkaException

from schemas import ModelControl
from streams.kafka.logs import Logs
from streams.kafka.producer import Outbox
from streams.runtime.control_plane import ControlPlane
from streams.runtime.topic_guard import TopicGuard
from streams.state.changelog import division
from streams.state.open_rows import load_state
from streams.state.ownership import Ownership, Superseded
from streams.state.partition import Partition
from streams.state.store import PartitionStore

logger = logging.getLogger(__name__)


class Revoked(Exception):
    """The partition was given up before it had been opened."""


class PartitionManager:
    """Claims a partition when it is first asked for, and keeps it until it is revoked."""

    def __init__(
        self,
        changelog: str,
        store: PartitionStore,
        control: ControlPlane,
        outbox: Outbox,
        logs: Logs,
        guard: TopicGuard,
    ) -> None:
        """Args:
        changelog: Topic that holds the partitions' records.
        store: The table's storage; a claim recovers it from the changelog.
        control: Makes the ledgers; its commands are applied to all owned partitions.
        outbox: Writes to the changelog.
        logs: Reads it.
        guard: Knows which life of the topics it is.
        """
        self._among: int | None = None
        self._changelog = changelog
        self._store = store
        self._control = control
        self._outbox = outbox
        self._logs = logs
        self._guard = guard
        self._owned: dict[int, Partition] = {}
        self._claims: dict[int, asyncio.Task[Ownership]] = {}
        self._one_load = asyncio.Lock()
        self._loads: set[asyncio.Task[Partition]] = set()
        control.listen(self._apply_command)

    def owned(self) -> list[Partition]:
        """Return the partitions that this process owns now."""
        return list(self._owned.values())

    async def get(self, number: int) -> Partition:
        """Return a partition, claimed and loaded when first asked for.

        It waits for the commands that the partition's last owner knew: state of a model that is
        not known here would be lost, and decisions would fall back to older commands.

        Raises:
            Revoked: It was revoked meanwhile.
        """
        if number in self._owned:
            return self._owned[number]
        if number not in self._claims:
            self._claims[number] = asyncio.create_task(self._claim(number))
        claimed = self._claims[number]
        ownership = await asyncio.shield(claimed)
        state = load_state(ownership.store, number)
        await self._guard.check_state(number, None if state is None else state.topics)
        await self._control.wait_for(0 if state is None else state.control)
        among = state.partitions if state is not None else await self._divided()
        async with self._one_load:
            if number in self._owned:
                return self._owned[number]
            if self._claims.get(number) is not claimed:
                raise Revoked
            partition = await self._load(ownership, among)
            if self._claims.get(number) is not claimed:
                raise Revoked
            self._owned[number] = partition
        logger.info("owns partition %d", number, extra={"partition": number})
        if state is None:
            await self._begin(partition)
        return partition

    async def revoke(self) -> None:
        """Forget all partitions, after what is being written and published."""
        # A claim that arrived later would supersede the next owner.
        await asyncio.gather(*self._claims.values(), return_exceptions=True)
        self._claims.clear()
        # A thread that went on reading would keep the rows' files locked.
        await asyncio.gather(*self._loads, return_exceptions=True)
        if self._owned:
            logger.info("gives up partitions %s", ", ".join(map(str, sorted(self._owned))))
        await asyncio.gather(*map(self._give_up, self._owned.values()))
        self._owned.clear()
        await asyncio.to_thread(self._store.close)

    async def _give_up(self, partition: Partition) -> None:
        try:
            await partition.revoke()
        except (TimeoutError, Superseded, KafkaException) as error:
            logger.info(
                "partition %d goes before all was written: some messages may leave again (%r)",
                partition.number,
                error,
            )

    async def _divided(self) -> int:
        """Return among how many partitions the limits were divided when the deployment began.

        The states of the others know it. Where there is none yet, it is the configured number.
        """

        def read() -> int | None:
            return division(self._logs.read(self._logs.spans(self._changelog)))

        if self._among is None:
            found = await asyncio.to_thread(read)
            self._among = self._control.partitions if found is None else found
        return self._among

    async def _begin(self, partition: Partition) -> None:
        """Write the first state of a partition: it says what others may count on."""
        async with partition.lock:
            if partition.owned and not partition.sequence:
                await partition.commit({})

    async def _claim(self, number: int) -> Ownership:
        ownership = Ownership(self._changelog, number, self._store, self._outbox, self._logs)
        await ownership.claim()
        return ownership

    async def _load(self, ownership: Ownership, among: int) -> Partition:
        """Load a partition's rows, which may be a million, beside the event loop: heartbeats come
        from there. Load again where a command has come meanwhile."""
        while True:
            version = self._control.registry.version
            ledger = self._control.new_ledger(ownership.number, among)
            load = asyncio.create_task(asyncio.to_thread(Partition, ledger, ownership))
            self._loads.add(load)
            load.add_done_callback(self._loads.discard)
            partition = await asyncio.shield(load)
            if version == self._control.registry.version:
                break
        partition.apply_control(version)
        partition.record_topics(self._guard.ids)
        partition.record_division(among)
        return partition

    def _apply_command(self, added: Mapping[str, ModelControl]) -> None:
        for partition in self._owned.values():
            for name, command in added.items():
                partition.add_model(name, command.carry_over)
            partition.apply_control(self._control.registry.version)
