"""Runs the batches of a store, one after the other takes what nobody else runs."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

from confluent_kafka import KafkaException

from router.evaluation.lines import DatasetError, lines
from streams.config.settings import Config
from streams.kafka.errors import BrokerError
from streams.serve.batch_files import Outcomes
from streams.serve.batch_lines import URL, Batch
from streams.serve.batch_run import run_batch
from streams.serve.batch_store import UNFINISHED, Store, StoredBatch
from streams.serve.keys import Caller

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.5
"""Seconds between two looks for batches that nobody runs."""
MOST_LINES = 50_000
TELL_EVERY = 200
"""Requests after which the counts of a batch are written."""


class BatchWorker:
    """Looks for batches and runs them, as long as it is not cancelled."""

    def __init__(self, config: Config, store: Store) -> None:
        """Run nothing yet."""
        self._config, self._store = config, store
        self._running: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Take every unfinished batch that no other process has."""
        try:
            while True:
                for batch in await asyncio.to_thread(self._store.batches):
                    if batch.status in UNFINISHED and batch.id not in self._running:
                        self._running[batch.id] = asyncio.create_task(self._take(batch.id))
                await asyncio.sleep(LOOK_EVERY)
        finally:
            for task in list(self._running.values()):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _take(self, id: str) -> None:
        try:
            await self._take_over(id)
        finally:
            self._running.pop(id, None)

    async def _take_over(self, id: str) -> None:
        with self._store.lock(id) as mine:
            batch = self._store.batch(id)
            if not mine or batch is None or batch.status not in UNFINISHED:
                return
            try:
                await self._run(batch)
            except (BrokerError, KafkaException) as error:  # tried again at the next look
                logger.error("batch %s waits: %s", id, error)
            except DatasetError as error:
                self._fail(batch, str(error))

    async def _run(self, batch: StoredBatch) -> None:
        source = self._store.content(batch.input_file_id)
        batch.request_counts.total = sum(1 for _ in lines(source))
        if not 0 < batch.request_counts.total <= MOST_LINES:
            self._fail(batch, f"a batch has 1 to {MOST_LINES} requests")
            return
        if batch.in_progress_at is None:
            batch.status, batch.in_progress_at = "in_progress", int(time.time())
            self._store.save(batch)
        key = batch.id.removeprefix("batch_")
        output, errors = f"file-{key}o", f"file-{key}e"
        caller = Caller(batch.owner, batch.tenant)
        window = batch.expires_at - batch.created_at
        asked = Batch(batch.id, caller, float(batch.created_at), float(window))
        paths = self._store.content(output), self._store.content(errors)
        with Outcomes(*paths) as outcomes:

            def progress() -> None:
                if len(outcomes.done) % TELL_EVERY == 0:
                    self._count(batch, outcomes)
                    self._store.save(batch)

            await run_batch(
                self._config,
                asked,
                lines(source),
                outcomes,
                progress=progress,
                stopped=lambda: self._store.cancelled(batch.id),
            )
        self._finish(batch, outcomes, output, errors)

    def _finish(self, batch: StoredBatch, outcomes: Outcomes, output: str, errors: str) -> None:
        self._count(batch, outcomes)
        for id, count in ((output, outcomes.answered), (errors, outcomes.failed)):
            if count:
                path = self._store.content(id)
                self._store.add_file(path, f"{batch.id}.jsonl", "batch_output", batch.owner, id)
        batch.output_file_id = output if outcomes.answered else None
        batch.error_file_id = errors if outcomes.failed else None
        now = int(time.time())
        batch.finalizing_at = now
        if self._store.cancelled(batch.id) and len(outcomes.done) < batch.request_counts.total:
            batch.status, batch.cancelled_at = "cancelled", now
        else:
            batch.status, batch.completed_at = "completed", now
        self._store.save(batch)

    def _count(self, batch: StoredBatch, outcomes: Outcomes) -> None:
        batch.request_counts.completed = outcomes.answered
        batch.request_counts.failed = outcomes.failed

    def _fail(self, batch: StoredBatch, reason: str) -> None:
        batch.status, batch.failed_at = "failed", int(time.time())
        error = {"code": "invalid_input", "message": reason, "param": None, "line": None}
        batch.errors = {"object": "list", "data": [error]}
        self._store.save(batch)


def checked_window(text: object) -> int | None:
    """Return the seconds of a completion window such as "24h" or "7d"; None for none of these."""
    if not isinstance(text, str) or not text[:-1].isdecimal() or len(text) > 5:
        return None
    seconds = int(text[:-1]) * {"m": 60, "h": 3600, "d": 86_400}.get(text[-1], 0)
    return seconds or None


def endpoint_known(endpoint: object) -> bool:
    """Whether requests of an endpoint can be routed."""
    return endpoint == URL
