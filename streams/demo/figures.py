"""What a demo reached, beside what other policies make of the same queries and budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from router.evaluation import experiment
from router.evaluation.experiment import REFERENCE_POLICY
from streams.demo.demo import Asked, Ran

CONTROLS = ("static-mix", "greedy-perf", "random")


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy's figures. score: the sum over answers; relative: per cent of the offline
    program's; cost: nano-dollars; lost: offline, queries whose true cost no longer fitted; as it
    ran, answers cut at their reservation, which are charged and score 0, and failed ones.
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
class Account:
    """One model's money, nano-dollars."""

    model: str
    spent: int
    limit: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All that is told in the end. p50, p99: seconds from a query's record to its first decision;
    twice: queries that went to two models (there must be none)."""

    ran: Policy
    offline: Policy
    others: Sequence[Policy]
    accounts: Sequence[Account]
    p50: float
    p99: float
    seconds: float
    twice: int

    @property
    def over_limit(self) -> list[str]:
        """Models that spent more than they may (there must be none)."""
        return [one.model for one in self.accounts if one.spent + one.reserved > one.limit]


def figures(ran: Ran) -> Figures:
    """Judge the run, and run the others offline."""
    name = ran.config.policy.name
    rows = experiment.compare(ran.ground, ran.setting, (name, *CONTROLS))
    offline = [
        Policy(
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
    watch = ran.watch
    waits = [watch.first[id].decided_at - watch.arrived[id] for id in ran.ground.queries.ids]
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
        twice=sum(len(models) > 1 for models in watch.models.values()),
    )


def _as_it_ran(ran: Ran, hundred: float) -> Policy:
    watch, queries, counts = ran.watch, ran.ground.queries, ran.watch.counts()
    row = {id: number for number, id in enumerate(queries.ids)}
    column = {model: number for number, model in enumerate(queries.models)}
    score, served, lost = 0.0, 0, 0
    for receipt in watch.last.values():
        result = watch.results.get(receipt.decision_id)
        if receipt.model is None or result is None:
            continue
        cost = queries.costs[row[receipt.id], column[receipt.model]]
        # A NaN, an answer that nobody recorded, is not below it either.
        if result.status_code == 200 and np.round(cost) <= receipt.reserved:
            served += 1
            score += result.score or 0.0
        else:
            lost += 1
    return Policy(
        name=ran.config.policy.name,
        relative=100 * score / hundred if hundred else 0.0,
        score=score,
        cost=counts.spent,
        served=served,
        deferred=counts.deferred,
        rejected=counts.rejected,
        lost=lost,
    )


def _accounts(ran: Ran) -> list[Account]:
    spent, reserved = ran.watch.spent(), ran.watch.reserved()
    limits = ran.config.limits().tolist()
    return [
        Account(model, spent.get(model, 0), limit, reserved.get(model, 0))
        for model, limit in zip(ran.config.models, limits, strict=True)
    ]


def as_json(asked: Asked, found: Figures) -> dict[str, Any]:
    """Everything as plain values; amounts in nano-dollars."""
    settings = asdict(asked) | {"dataset": str(asked.dataset) if asked.dataset else None}
    return {
        "synthetic": asked.dataset is None,
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


def _values(policy: Policy) -> dict[str, Any]:
    return {**asdict(policy), "per_dollar": policy.per_dollar}
