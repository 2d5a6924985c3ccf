"""Which answers of a log are judged."""

from __future__ import annotations

from typing import Any

from streams.judge.sample import case_of, sampled, waits, with_score

DAY = 86_400.0


def line(number: int, day: int, **fields: Any) -> dict[str, Any]:
    """An answered query of a day."""
    return {
        "id": f"q{number}",
        "prompt": "?",
        "scores": {"small": None},
        "cost_usd": {"small": 0.1},
        "answer": "!",
        "decided_at": day * DAY + number,
        **fields,
    }


def test_so_many_of_each_day() -> None:
    """Every day has its sample, the same in any order of the lines."""
    lines = [line(number, day) for day in range(3) for number in range(day * 10, day * 10 + 5)]
    chosen = sampled(lines, 2)
    assert [one["decided_at"] // DAY for one in chosen] == [0, 0, 1, 1, 2, 2]
    assert sampled(lines[::-1], 2) == chosen


def test_what_waits() -> None:
    """An answer without a score; a score from a worker stays."""
    assert waits(line(1, 0))
    assert not waits(line(1, 0, scores={"small": 0.0}))
    assert not waits(line(1, 0, answer=None))
    assert with_score(line(1, 0), 0.7)["scores"] == {"small": 0.7}


def test_a_case_is_of_query_and_model() -> None:
    """The same query at another model is another case."""
    assert case_of(line(1, 0)) == case_of(line(1, 5))
    assert case_of(line(1, 0)).id != case_of(line(1, 0, scores={"large": None})).id
