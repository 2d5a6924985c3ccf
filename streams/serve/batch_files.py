"""The output and error files of a batch: appended to, and read back after a kill."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from streams.client.runs import cut_after_whole_lines

SYNC_EVERY = 500
"""Lines between two syncs to the disk."""


class Outcomes:
    """Two files of JSON lines, one line for each request that has ended; use as a context.

    Attributes:
        done: Numbers of the requests that have a line.
        answered: How many of them are answers.
        spent: Nano-units that they were charged.
        models: Answers, by model.
        unexecuted: Requests without a response, by the code that says why.
    """

    def __init__(self, output: Path, errors: Path) -> None:
        """Nothing is opened yet."""
        self._paths = (output, errors)
        self._files: list[Any] = []
        self._unsynced = 0
        self.done: set[int] = set()
        self.answered = 0
        self.spent = 0
        self.models: Counter[str] = Counter()
        self.unexecuted: Counter[str] = Counter()

    @property
    def failed(self) -> int:
        """How many requests have ended without an answer."""
        return len(self.done) - self.answered

    def __enter__(self) -> Self:
        for path, answered in zip(self._paths, (True, False), strict=True):
            file = path.open("ab+")
            self._files.append(file)
            # What a kill has cut off is asked for again, and not answered again.
            cut_after_whole_lines(file, partial(self._count, answered=answered))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sync()
        for file in self._files:
            file.close()

    def add(self, line: bytes, answered: bool) -> None:
        """Append a request's line; a second one of the same request is left out."""
        if self._count(line, answered):
            self._files[0 if answered else 1].write(line + b"\n")
            self._unsynced += 1
            if self._unsynced >= SYNC_EVERY:
                self._sync()

    def _count(self, line: bytes, answered: bool) -> bool:
        """Take a line into the sums. Returns False for one that is none, or came before."""
        try:
            found = msgspec.json.decode(line)
            number = int(found["id"].rpartition("/")[2])
            body = found if found["response"] is None else found["response"]["body"]
            cost = body["sluice"]["cost"] or 0
            code = found["error"]["code"] if found["error"] else None
        except (KeyError, TypeError, ValueError, AttributeError):
            return False
        if number in self.done:
            return False
        self.done.add(number)
        self.spent += cost
        self.answered += answered
        if code is not None:
            self.unexecuted[code] += 1
        if answered:
            self.models[body["model"]] += 1
        return True

    def _sync(self) -> None:
        self._unsynced = 0
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
