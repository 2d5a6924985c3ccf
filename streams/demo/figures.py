"""A demo's results, compared with other policies on the same queries and budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from router.evaluation import experiment
from router.evaluation.budgets import SHARED, TOGETHER
from router.evaluation.experiment import REFERENCE_POLICY, Setting
from streams.config.settings import Config
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
        shared: policies, run offline with the same money as one budget for all models; empty where
            it was that already.
        overdrawn: accounts that held more than their share at any record (there must be none).
    """

    ran: PolicyFigures
    offline: PolicyFigures
    others: Sequence[PolicyFigures]
    accounts: Sequence[ModelSpending]
    p50: float
    p99: float
    seconds: float
    twice: int
    shared: Sequence[PolicyFigures] = ()
    overdrawn: Sequence[str] = ()

    @property
    def over_limit(self) -> list[str]:
        """Limits that were exceeded (there must be none)."""
        over = [one.model for one in self.accounts if one.spent + one.reserved > one.limit]
        return [*over, *(name for name in self.overdrawn if name not in over)]


def figures(ran: DemoRun) -> Figures:
    """Summarise a run, and run the other policies offline."""
    name = ran.config.policy.name
    offline = _offline(ran, ran.setting)
    by_name = {policy.name: policy for policy in offline}
    progress = ran.progress
    waits = [progress.first[id].decided_at - progress.arrived[id] for id in ran.data.queries.ids]
    p50, p99 = np.percentile(waits, [50, 99]).tolist()
    same, hundred = by_name.pop(name), by_name[REFERENCE_POLICY].score
    shared = _offline(ran, replace(ran.setting, split=SHARED)) if _split(ran) else []
    return Figures(
        ran=_as_it_ran(ran, hundred),
        offline=same,
        others=list(by_name.values()),
        accounts=_accounts(ran),
        p50=p50,
        p99=p99,
        seconds=ran.seconds,
        twice=sum(len(models) > 1 for models in progress.models.values()),
        shared=[
            replace(one, relative=100 * one.score / hundred if hundred else 0.0) for one in shared
        ],
        overdrawn=sorted(progress.ledgers.overdrawn),
    )


def _split(ran: DemoRun) -> bool:
    """Return whether each model had a budget of its own."""
    return ran.setting.split not in TOGETHER


def _offline(ran: DemoRun, setting: Setting) -> list[PolicyFigures]:
    return [
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
        for row, _, _ in experiment.compare(ran.data, setting, (ran.config.policy.name, *CONTROLS))
    ]


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
    """Return the limits of money; those of each tenant, and of tokens, are seen by their shares."""
    spent, reserved = ran.progress.spent(), ran.progress.reserved()
    amounts = ran.config.amounts()
    return [
        ModelSpending(name, spent.get(name, 0), amounts[name], reserved.get(name, 0))
        for name in _of_money(ran.config)
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
        "shared_budget": [_values(policy) for policy in found.shared],
        "models": [asdict(account) for account in found.accounts],
        "twice": found.twice,
        "over_limit": found.over_limit,
    }


def _values(policy: PolicyFigures) -> dict[str, Any]:
    return {**asdict(policy), "per_dollar": policy.per_dollar}


def _of_money(config: Config) -> Sequence[str]:
    """Return the limits of money that all tenants share."""
    limits = config.limit_set().limits
    return [one.name for one in limits if one.unit == "currency" and one.tenants == "all"]
