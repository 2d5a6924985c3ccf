"""Runs the batches of a store, in the one process that Kafka has chosen for it.

A run writes its files on this machine, and hands them to the store when they are whole. One that is
killed leaves nothing behind: the next reads from `results` what was answered, and asks the rest.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from confluent_kafka import KafkaException

from router.evaluation.lines import DatasetError, lines
from streams.config.settings import Config
from streams.kafka.errors import BrokerError
from streams.kafka.security import for_librdkafka
from streams.kafka.topics import Topics
from streams.serve.batch_content import scratch
from streams.serve.batch_files import Outcomes
from streams.serve.batch_lines import LONGEST_WINDOW, URL, Batch
from streams.serve.batch_owner import BatchOwner
from streams.serve.batch_records import UNFINISHED, Counts, StoredBatch
from streams.serve.batch_run import run_batch
from streams.serve.batch_store import Store
from streams.serve.keys import Caller

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.5
"""Seconds between two looks for batches that nobody runs."""
COUNT_EVERY = 2.0
"""Seconds between two records of how far a batch is."""
MOST_LINES = 50_000
RETRY_SECONDS = 10.0


class BatchWorker:
    """Looks for batches and runs them, as long as it is not cancelled."""

    def __init__(self, config: Config, store: Store) -> None:
        """Run nothing yet."""
        self._config, self._store = config, store
        self._running: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Run every unfinished batch while this process is the one to do so."""
        topic = Topics(self._config.topics.prefix).batches
        owner = BatchOwner(for_librdkafka(self._config.broker), topic)
        owner.open()
        try:
            while True:
                if owner.held:
                    self._take_up()
                else:
                    await self._drop()
                await asyncio.sleep(LOOK_EVERY)
        finally:
            await self._drop()
            await asyncio.to_thread(owner.close)

    def _take_up(self) -> None:
        for batch in self._store.batches():
            if batch.status in UNFINISHED and batch.id not in self._running:
                self._running[batch.id] = asyncio.create_task(self._take(batch.id))

    async def _drop(self) -> None:
        """Stop all runs; whoever runs batches next goes on with them."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _take(self, id: str) -> None:
        try:
            batch = await self._store.batch(id)
            if batch is not None:
                await self._run(batch)
        except (BrokerError, KafkaException) as error:  # tried again at the next look
            logger.error("batch %s waits: %s", id, error)
            await asyncio.sleep(LOOK_EVERY)
        except Exception:
            logger.exception("batch %s waits, for an error of this program or of its storage", id)
            await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._running.pop(id, None)

    async def _run(self, batch: StoredBatch) -> None:
        with scratch() as folder:
            source = Path(folder) / "input"
            try:
                await asyncio.to_thread(self._store.content.fetch, batch.input_file_id, source)
                total = await asyncio.to_thread(lambda: sum(1 for _ in lines(source)))
            except FileNotFoundError:
                await self._fail(batch, "the input file is not there any more")
            except DatasetError as error:
                await self._fail(batch, str(error).replace(str(source), batch.input_file_id))
            else:
                if 0 < total <= MOST_LINES:
                    batch.request_counts.total = total
                    await self._answer(batch, source)
                else:
                    await self._fail(batch, f"a batch has 1 to {MOST_LINES} requests, not {total}")

    async def _answer(self, batch: StoredBatch, source: Path) -> None:
        if batch.in_progress_at is None:
            batch.status, batch.in_progress_at = "in_progress", int(time.time())
            await self._store.save(batch)
        caller = Caller(batch.owner, batch.tenant)
        window = batch.expires_at - batch.created_at
        asked = Batch(batch.id, caller, float(batch.created_at), float(window))
        output, errors = source.with_name("output"), source.with_name("errors")
        with Outcomes(output, errors) as outcomes:
            async with self._counting(batch, outcomes):
                await run_batch(
                    self._config,
                    asked,
                    lines(source),
                    outcomes,
                    cancelled=lambda: self._store.cancelled(batch.id),
                )
        batch.request_counts = _counted(batch, outcomes)
        key = batch.id.removeprefix("batch_")
        if outcomes.answered:
            batch.output_file_id = await self._add(batch, output, f"file-{key}o")
        if outcomes.failed:
            batch.error_file_id = await self._add(batch, errors, f"file-{key}e")
        await self._finish(batch, outcomes)

    @asynccontextmanager
    async def _counting(self, batch: StoredBatch, outcomes: Outcomes) -> AsyncIterator[None]:
        """Tell from time to time how far a batch is."""

        async def count() -> None:
            told = Counts()
            while True:
                if told != (told := _counted(batch, outcomes)):
                    with suppress(KafkaException):
                        await self._store.count(batch.id, told)
                await asyncio.sleep(COUNT_EVERY)

        counting = asyncio.create_task(count())
        try:
            yield
        finally:
            counting.cancel()

    async def _add(self, batch: StoredBatch, path: Path, id: str) -> str:
        with path.open("rb") as data:
            name = f"{batch.id}.jsonl"
            await self._store.add_file(data, name, "batch_output", batch.owner, id)
        return id

    async def _finish(self, batch: StoredBatch, outcomes: Outcomes) -> None:
        now = int(time.time())
        batch.finalizing_at = now
        if outcomes.unexecuted["batch_cancelled"]:
            batch.status, batch.cancelled_at = "cancelled", now
        elif outcomes.unexecuted["batch_expired"]:
            batch.status, batch.expired_at = "expired", now
        else:
            batch.status, batch.completed_at = "completed", now
        await self._store.save(batch)

    async def _fail(self, batch: StoredBatch, reason: str) -> None:
        batch.status, batch.failed_at = "failed", int(time.time())
        error = {"code": "invalid_input", "message": reason, "param": None, "line": None}
        batch.errors = {"object": "list", "data": [error]}
        await self._store.save(batch)


def _counted(batch: StoredBatch, outcomes: Outcomes) -> Counts:
    total = batch.request_counts.total
    return Counts(total=total, completed=outcomes.answered, failed=outcomes.failed)


def checked_window(text: object) -> int | None:
    """Return the seconds of a completion window such as "24h" or "7d"; None for what is none, or is
    longer than `LONGEST_WINDOW`.
    """
    if not isinstance(text, str) or not text[:-1].isdecimal() or len(text) > 5:
        return None
    seconds = int(text[:-1]) * {"m": 60, "h": 3600, "d": 86_400}.get(text[-1], 0)
    return seconds if 0 < seconds <= LONGEST_WINDOW else None


def endpoint_known(endpoint: object) -> bool:
    """Whether requests of an endpoint can be routed."""
    return endpoint == URL
