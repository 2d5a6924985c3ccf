"""The client for programs without an event loop: it runs one in a thread of its own.

with Client(load()) as client:
    print(client.ask("What is a sluice?").text)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from streams.client.answers import Answer, Ending
from streams.client.asynchronous import IN_FLIGHT, AsyncClient, Question
from streams.config.settings import Config

Returned = TypeVar("Returned")


class Client:
    """As `AsyncClient`, and every method blocks. Threads may share one."""

    def __init__(self, config: Config) -> None:
        """Open nothing yet: `with`, or `open`."""
        self._client = AsyncClient(config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="client", daemon=True)

    def open(self) -> Self:
        """Connect; see `AsyncClient.open`."""
        self._thread.start()
        try:
            self._run(self._client.open())
        except BaseException:
            self._end_loop()
            raise
        return self

    def close(self) -> None:
        """Disconnect. Queries that were sent go on without this client."""
        self._run(self._client.close())
        self._end_loop()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def submit(self, question: Question, **fields: Any) -> str:
        """Send a query; return its id when the broker has it."""
        return self._run(self._client.submit(question, **fields))

    def wait(self, id: str, patience: float | None = None) -> Answer:
        """Return the answer to a query that was submitted; raise the `QueryError` it ended with."""
        return self._run(self._client.wait(id, patience))

    def ask(self, question: Question, patience: float | None = None, **fields: Any) -> Answer:
        """Submit, and wait for the answer; see both."""
        return self._run(self._client.ask(question, patience, **fields))

    def ask_all(
        self, questions: Iterable[Question], in_flight: int = IN_FLIGHT, **fields: Any
    ) -> Iterator[Ending]:
        """Send many queries and yield how each ends, in the order in which they end."""
        endings = self._client.ask_all(questions, in_flight, **fields)
        while True:
            try:
                yield self._run(anext(endings))  # type: ignore[arg-type]  # a coroutine in fact
            except StopAsyncIteration:
                return

    def _run(self, work: Coroutine[Any, Any, Returned]) -> Returned:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
