"""Judges cases one after the other, within a budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from schemas.fields import NANO
from streams.client.asynchronous import as_they_end
from streams.judge.calls import Calls
from streams.judge.records import Verdict, VerdictFile
from streams.judge.verdict import (
    Case,
    Form,
    Message,
    agreed,
    pairwise,
    pointwise,
    read_choice,
    read_grade,
)

SHOWN = 3
"""Reasons for failed calls that are told."""


class Judge:
    """Asks a judge model, and never begins a call that the budget might not hold.

    Attributes:
        spent: Nano-units, those of the run's earlier parts included.
        failed: Calls without an answer, by reason.
        stopped: Whether cases were left out for want of money.
    """

    def __init__(self, calls: Calls, run: str, secret: str, budget: int, spent: int = 0) -> None:
        """Args:
        calls: Asks the model.
        run: Begins the ids of the calls.
        secret: Of the marks around what is judged.
        budget: Nano-units, for the whole run.
        spent: Of them, by its earlier parts.
        """
        self._calls, self._run, self._secret = calls, run, secret
        self._budget, self._reserved = budget, 0
        self.spent = spent
        self.failed: Counter[str] = Counter()
        self.stopped = False

    def summary(self, verdicts: VerdictFile) -> Iterator[str]:
        """Yield lines for people on what came of the run."""
        found = len(verdicts.found)
        yield (
            f"judged {found}, of them {verdicts.unknown} without a verdict that can be read; "
            f"spent {verdicts.spent / NANO:.6f}"
        )
        for reason, count in self.failed.most_common(SHOWN):
            yield f"{count} calls failed: {reason}"
        if self.stopped:
            yield (
                f"stopped: another verdict might cost more than is left of {self._budget / NANO:g}"
            )

    async def judge_all(
        self,
        cases: Iterable[Case],
        add: Callable[[Verdict], None],
        in_flight: int,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Judge cases, those with `other` by comparison, until all are judged or money is out.

        Args:
            cases: Without those that have a verdict already.
            add: Called with each verdict.
            in_flight: Cases at a time.
            stopped: Whether no more cases are to be begun.
        """
        works = (self._judge(case) for case in cases if not stopped() and not self.stopped)
        async for verdict in as_they_end(works, in_flight):
            if verdict is not None:
                add(verdict)

    async def _judge(self, case: Case) -> Verdict | None:
        """Return a verdict; None where the budget might not hold the calls."""
        orders = (False,) if case.other is None else (False, True)
        asked: list[tuple[str, Form, list[Message]]] = []
        for swapped in orders:
            id = f"{self._run}/{case.id}/{'ba' if swapped else 'ab'}"
            form = Form.of(self._secret, id)
            said = pointwise(case, form) if case.other is None else pairwise(case, form, swapped)
            asked.append((id, form, said))
        bound = sum(self._calls.bound(messages) for _, _, messages in asked)
        if self.spent + self._reserved + bound > self._budget:
            self.stopped = True
            return None
        self._reserved += bound
        cost, values = 0, list[float | None]()
        try:
            for swapped, (id, form, messages) in zip(orders, asked, strict=True):
                reply = await self._calls.ask(id, messages)
                cost += reply.cost
                if reply.text is None:
                    self.failed[reply.reason] += 1
                    return Verdict(case.id, None, cost, failed=True)
                values.append(
                    read_grade(reply.text, form)
                    if case.other is None
                    else read_choice(reply.text, form, swapped)
                )
        finally:
            self._reserved -= bound
            self.spent += cost
        return Verdict(case.id, values[0] if len(values) == 1 else agreed(*values), cost)
