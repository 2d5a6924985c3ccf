"""A judge within its budget. (With a broker: tests/streams/cli/test_judge.py.)"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from streams.judge.calls import Reply
from streams.judge.judge import Judge
from streams.judge.records import Verdict
from streams.judge.verdict import Case, Form, Message

COST = 10


class Scripted:
    """Calls that a test answers. text: of an id and its messages; None for a failure."""

    def __init__(self, text: Callable[[str, list[Message]], str | None]) -> None:
        self.text = text
        self.asked: list[str] = []

    def bound(self, messages: list[Message]) -> int:
        """Twice what a call costs."""
        return 2 * COST

    async def ask(self, id: str, messages: list[Message]) -> Reply:
        """Answer as the test says."""
        self.asked.append(id)
        text = self.text(id, messages)
        return Reply(text, COST if text is not None else 1, "away")


def judged(
    calls: Scripted, cases: Sequence[Case], budget: int = 1000
) -> tuple[Judge, list[Verdict]]:
    """Judge cases one at a time."""
    judge, verdicts = Judge(calls, "run", "secret", budget), list[Verdict]()
    asyncio.run(judge.judge_all(cases, verdicts.append, in_flight=1))
    return judge, verdicts


def word(id: str) -> str:
    """The word that a verdict to this call begins with."""
    return Form.of("secret", id).word


def test_the_budget_is_kept() -> None:
    """No call begins that might exceed it, and what is left out is told."""
    calls = Scripted(lambda id, _: f"{word(id)}: 7")
    judge, verdicts = judged(calls, [Case(str(n), "?", "!") for n in range(9)], budget=45)
    assert [verdict.score for verdict in verdicts] == [0.7] * 3
    assert judge.spent == 3 * COST
    assert judge.stopped


def test_a_judge_that_prefers_a_place_says_a_tie() -> None:
    """It is asked in both orders; always A is no verdict for either answer."""
    calls = Scripted(lambda id, _: f"{word(id)}: A")
    _, verdicts = judged(calls, [Case("case", "?", "good", other="bad")])
    assert verdicts == [Verdict("case", 0.5, 2 * COST)]
    assert calls.asked == ["run/case/ab", "run/case/ba"]


def test_a_judge_that_knows() -> None:
    """Agreement of both orders is a verdict."""

    def text(id: str, messages: list[Message]) -> str:
        said = str(messages[1]["content"])
        return f"{word(id)}: {'A' if said.index('good') < said.index('bad') else 'B'}"

    _, verdicts = judged(Scripted(text), [Case("case", "?", "good", other="bad")])
    assert verdicts == [Verdict("case", 1.0, 2 * COST)]


def test_no_verdict_is_unknown_and_a_failure_comes_again() -> None:
    """A reply that cannot be read is a verdict without a score; a failed call is none at all."""
    _, verdicts = judged(Scripted(lambda id, _: "Great answer: 10"), [Case("case", "?", "!")])
    assert verdicts == [Verdict("case", None, COST)]
    judge, verdicts = judged(Scripted(lambda id, _: None), [Case("case", "?", "!")])
    assert verdicts == [Verdict("case", None, 1, failed=True)]
    assert judge.failed == {"away": 1}
    assert judge.spent == 1
