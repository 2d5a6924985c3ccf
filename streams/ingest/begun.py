"""Runs a coroutine to its first wait at once, where a task would leave that to a later turn."""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class Begun:
    """A coroutine, run until it is done or waits for the first time.

    Attributes:
        done: Whether it has ended by then.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run it; raises what it raises before it waits."""
        self._coroutine = coroutine
        self._first: Any = None
        self.done = False
        try:
            self._first = coroutine.send(None)
        except StopIteration:
            self.done = True

    async def rest(self) -> None:
        """Run what is left of it. To be awaited once, where it is not done."""
        await _rest(self._coroutine, self._first)


@types.coroutine
def _rest(coroutine: Coroutine[Any, Any, object], awaited: Any) -> Generator[Any, Any, None]:
    """Do what `await coroutine` would do from its first wait on."""
    step: Callable[[Any], Any]
    while True:
        try:
            answer = yield awaited
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:
            step, given = coroutine.throw, error
        else:
            step, given = coroutine.send, answer
        try:
            awaited = step(given)
        except StopIteration:
            return
