"""Runs a batch: asks what has no line yet, and writes a line for each request as it ends.

A run that is killed is run again with the same batch. The ids of its queries are the same, routers
decide an id once, and what was answered meanwhile is read back from the batch's beginning on: so no
request is answered twice, and no answer is paid for in vain.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager

from streams.client.answers import Ending
from streams.client.asynchronous import AsyncClient, as_they_end
from streams.client.earlier import MARGIN
from streams.client.errors import GivenUp, QueryError
from streams.config.settings import Config
from streams.serve import batch_lines
from streams.serve.batch_files import Outcomes
from streams.serve.batch_lines import Batch, Request
from streams.serve.errors import ApiError

LOOK_EVERY = 0.5
"""Seconds between two looks whether a batch is cancelled."""
LONGEST_CANCEL = 600.0
"""Seconds that requests in flight are awaited after a cancellation."""


async def run_batch(
    config: Config,
    batch: Batch,
    lines: Iterable[tuple[int, bytes]],
    outcomes: Outcomes,
    *,
    in_flight: int = 1000,
    progress: Callable[[], None] = lambda: None,
    stopped: Callable[[], bool] = lambda: False,
    cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Ask every request of a batch that has no line yet, and write each one's line.

    Args:
        config: Of the deployment.
        batch: What the requests share.
        lines: Of the input file, all of them, numbered.
        outcomes: Where the lines go, open.
        in_flight: Requests that are asked at a time.
        progress: Called after each line.
        stopped: Whether no more requests are to be asked; those in flight are awaited.
        cancelled: Whether the others are to be left out, each with its line. Those in flight are
            awaited, but not those that wait for money, and none for longer than `LONGEST_CANCEL`.

    Raises:
        BrokerError: Topics are missing.
        KafkaException: The broker does not answer.
    """
    earlier: dict[str, Ending] = {}
    prefix = f"{batch.id}/".encode()

    def keep(id: str, ending: Ending) -> None:
        if int(id.rpartition("/")[2]) not in outcomes.done:
            earlier.setdefault(id, ending)

    client = AsyncClient(
        config,
        kept=lambda key: key.startswith(prefix) and key[len(prefix) :].isdigit(),
        keep=keep,
        since=batch.created - MARGIN,
    )
    async with client, _giving_up(client, cancelled):
        requests = _requests(batch, lines, client, outcomes, stopped, cancelled)
        asked = (_ask(client, batch, request, earlier) for request in requests)
        async for request, ending in as_they_end(asked, in_flight):
            answered, line = batch_lines.outcome(batch, request, ending)
            outcomes.add(line, answered)
            progress()


def _requests(
    batch: Batch,
    lines: Iterable[tuple[int, bytes]],
    client: AsyncClient,
    outcomes: Outcomes,
    stopped: Callable[[], bool],
    cancelled: Callable[[], bool],
) -> Iterator[Request]:
    """The requests that have no line yet."""
    seen: set[str] = set()
    for number, line in lines:
        if stopped():
            return
        if cancelled():
            request = batch_lines.cancelled(number, line)
        else:
            request = batch_lines.read(batch, number, line, client.models, seen)
        if number not in outcomes.done:
            yield request


@asynccontextmanager
async def _giving_up(client: AsyncClient, cancelled: Callable[[], bool]) -> AsyncIterator[None]:
    giving_up = asyncio.create_task(_give_up(client, cancelled))
    try:
        yield
    finally:
        giving_up.cancel()


async def _give_up(client: AsyncClient, cancelled: Callable[[], bool]) -> None:
    """After a cancellation, end the waiting for what would be waited for too long."""
    while not cancelled():
        await asyncio.sleep(LOOK_EVERY)
    began = time.monotonic()
    while True:
        client.give_up(everything=time.monotonic() - began > LONGEST_CANCEL)
        await asyncio.sleep(LOOK_EVERY)


async def _ask(
    client: AsyncClient, batch: Batch, request: Request, earlier: dict[str, Ending]
) -> tuple[Request, Ending | ApiError]:
    """How a request ends, or has ended before this run."""
    id = batch.query_id(request.number)
    if (known := earlier.pop(id, None)) is not None:
        return request, known
    if request.query is None:
        assert request.refusal is not None
        return request, request.refusal
    try:
        return request, await client.ask(request.query)
    except GivenUp:
        return request, batch_lines.CANCELLED
    except QueryError as error:
        return request, error
    finally:
        earlier.pop(id, None)
