"""Which of a log's answers are judged: a sample of each day, the same whenever it is drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from schemas.fields import LATEST
from streams.judge.verdict import Case

Line = Mapping[str, Any]


def waits(line: Line) -> bool:
    """Whether a line of a history has an answer, and no score."""
    scores = line.get("scores")
    return (
        isinstance(line.get("answer"), str)
        and isinstance(scores, dict)
        and all(score is None for score in scores.values())
    )


def sampled(lines: Iterable[Line], each_day: int) -> list[Line]:
    """Return the lines to judge.

    Args:
        lines: Of a history, those that wait.
        each_day: So many of each day (UTC), drawn by their ids: those judged before come again.
    """
    days: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        days[_day(line)].append(line)
    chosen: list[Line] = []
    for _, of_day in sorted(days.items()):
        chosen += sorted(of_day, key=lambda line: name(line))[:each_day]
    return chosen


def name(line: Line) -> str:
    """Return the name of a line's case, by which it is drawn too."""
    model = next(iter(line["scores"]), "")
    return sha256(f"{line['id']}\n{model}".encode()).hexdigest()[:32]


def case_of(line: Line) -> Case:
    """Return what is to be judged of a line."""
    return Case(name(line), str(line["prompt"]), str(line["answer"]))


def with_score(line: Line, score: float) -> dict[str, Any]:
    """Return a line with its one model's score."""
    return {**line, "scores": dict.fromkeys(line["scores"], score)}


def _day(line: Line) -> str:
    decided = line.get("decided_at")
    if not isinstance(decided, int | float) or not 0 <= decided <= LATEST:
        return ""
    return datetime.fromtimestamp(decided, UTC).date().isoformat()
