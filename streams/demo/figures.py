"""A demo's results, compared with other policies on the same queries and budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from router.evaluation import experiment
from router.evaluation.experiment import REFERENCE_POLICY
from streams.demo.demo import DemoOptions, DemoRun

CONTROLS = ("static-mix", "greedy-perf", "random")


@dataclass(frozen=True, slots=True)
class PolicyFigures:
    """One policy's results.

    Attributes:
        name: the policy.
        relative: score in per cent of the offline linear program's.
        score: sum of the answers' scores.
        cost: nano-dollars.
        served: queries answered in full.
        deferred: queries deferred to the end.
        rejected: queries rejected.
        lost: offline, queries whose true cost no longer fitted the budget; live, answers that
            failed or were cut at their reservation (charged, scored 0).
    """

    name: str
    relative: float
    score: float
    cost: int
    served: int
    deferred: int
    rejected: int
    lost: int

    @property
    def per_dollar(self) -> float:
        """Score per dollar, 0 where nothing was spent."""
        return self.score / (self.cost / 1e9) if self.cost else 0.0


@dataclass(frozen=True, slots=True)
class ModelSpending:
    """What one model spent, reserved, and was limited to; nano-dollars."""

    model: str
    spent: int
    limit: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The summary of a demo.

    Attributes:
        ran: the policy as it ran live.
        offline: the same policy, run offline.
        others: other policies, run offline.
        accounts: spending by model.
        p50: median seconds from a query's record to its first decision.
        p99: the 99th percentile of the same.
        seconds: from the first query to the end.
        twice: queries that went to two models (there must be none).
    """

    ran: PolicyFigures
    offline: PolicyFigures
    others: Sequence[PolicyFigures]
    accounts: Sequence[ModelSpending]
    p50: float
    p99: float
    seconds: float
    twice: int

    @property
    def over_limit(self) -> list[str]:
        """Models that exceeded their limit (there must be none)."""
        return [one.model for one in self.accounts if one.spent + one.reserved > one.limit]


def figures(ran: DemoRun) -> Figures:
    """Summarise a run, and run the other policies offline."""
    name = ran.config.policy.name
    rows = experiment.compare(ran.data, ran.setting, (name, *CONTROLS))
    offline = [
        PolicyFigures(
            name=row.policy,
            relative=row.relative,
            score=row.performance,
            cost=row.cost,
            served=row.served,
            deferred=row.deferred,
            rejected=0,
            lost=row.lost,
        )
        for row, _, _ in rows
    ]
    by_name = {policy.name: policy for policy in offline}
    progress = ran.progress
    waits = [progress.first[id].decided_at - progress.arrived[id] for id in ran.data.queries.ids]
    p50, p99 = np.percentile(waits, [50, 99]).tolist()
    same = by_name.pop(name)
    return Figures(
        ran=_as_it_ran(ran, by_name[REFERENCE_POLICY].score),
        offline=same,
        others=list(by_name.values()),
        accounts=_accounts(ran),
        p50=p50,
        p99=p99,
        seconds=ran.seconds,
        twice=sum(len(models) > 1 for models in progress.models.values()),
    )


def _as_it_ran(ran: DemoRun, hundred: float) -> PolicyFigures:
    progress, queries, counts = ran.progress, ran.data.queries, ran.progress.counts()
    row = {id: number for number, id in enumerate(queries.ids)}
    column = {model: number for number, model in enumerate(queries.models)}
    score, served, lost = 0.0, 0, 0
    for receipt in progress.last.values():
        result = progress.results.get(receipt.decision_id)
        if receipt.model is None or result is None:
            continue
        cost = queries.costs[row[receipt.id], column[receipt.model]]
        # A NaN, an answer that nobody recorded, is not below it either.
        if result.status_code == 200 and np.round(cost) <= receipt.reserved:
            served += 1
            score += result.score or 0.0
        else:
            lost += 1
    return PolicyFigures(
        name=ran.config.policy.name,
        relative=100 * score / hundred if hundred else 0.0,
        score=score,
        cost=counts.spent,
        served=served,
        deferred=counts.deferred,
        rejected=counts.rejected,
        lost=lost,
    )


def _accounts(ran: DemoRun) -> list[ModelSpending]:
    spent, reserved = ran.progress.spent(), ran.progress.reserved()
    return [
        ModelSpending(limit, spent.get(limit, 0), amount, reserved.get(limit, 0))
        for limit, amount in ran.config.amounts().items()
    ]


def as_json(options: DemoOptions, found: Figures) -> dict[str, Any]:
    """Return everything as plain values; amounts in nano-dollars."""
    settings = asdict(options) | {"dataset": str(options.dataset) if options.dataset else None}
    return {
        "synthetic": options.dataset is None,
        "settings": settings,
        "seconds": found.seconds,
        "decision_latency_seconds": {"p50": found.p50, "p99": found.p99},
        "as_it_ran": _values(found.ran),
        "offline": _values(found.offline),
        "others": [_values(policy) for policy in found.others],
        "models": [asdict(account) for account in found.accounts],
        "twice": found.twice,
        "over_limit": found.over_limit,
    }


def _values(policy: PolicyFigures) -> dict[str, Any]:
    return {**asdict(policy), "per_dollar": policy.per_dollar}
