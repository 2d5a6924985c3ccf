"""Verdicts, kept in a file of JSON lines that a kill cannot spoil."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from streams.client.runs import cut_after_whole_lines


class Verdict(msgspec.Struct, frozen=True):
    """One case, judged. score: None where the judge's replies were no verdict; cost: nano-units;
    failed: a call had no answer, so that the case is to be judged again.
    """

    id: str
    score: float | None
    cost: int
    failed: bool = False


class VerdictFile:
    """Verdicts by case, appended to a file as they come; use as a context.

    Attributes:
        found: By the case's id; those of failed calls are left out.
        spent: Nano-units that all calls have cost.
    """

    def __init__(self, path: Path) -> None:
        """Open nothing yet."""
        self._path = path
        self.found: dict[str, Verdict] = {}
        self.spent = 0

    def __enter__(self) -> Self:
        self._file = self._path.open("ab+")
        cut_after_whole_lines(self._file, self._read)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def add(self, verdict: Verdict) -> None:
        """Append a verdict."""
        self._count(verdict)
        self._file.write(msgspec.json.encode(verdict) + b"\n")
        self._file.flush()

    @property
    def unknown(self) -> int:
        """Cases without a verdict, though they were judged."""
        return sum(verdict.score is None for verdict in self.found.values())

    def _read(self, line: bytes) -> bool:
        self._count(msgspec.json.decode(line, type=Verdict))
        return True

    def _count(self, verdict: Verdict) -> None:
        self.spent += verdict.cost
        if not verdict.failed:
            self.found[verdict.id] = verdict
