"""What limits cost a decision: 20 that overlap beside one budget a model.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.decision_limits [--history 1500]

A decision is all of it: embed, estimate, find the limits that cover a query, score, reserve, and
what the receipt tells of limits. Both kinds run in turn on the same queries, chunk by chunk, and
processor time is counted, so that other work on the machine matters less. The baseline is a budget
a model, for 11 models.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.machine import machine
from router.arrays import Ints
from router.budget.ledger import Ledger
from router.budget.limits import Limit, LimitSet, tenants_in_force
from router.estimation.embedders import make_embedder
from router.estimation.estimator import Estimator
from router.estimation.index import ExactIndex
from router.estimation.scorer import QueryConstraints, QueryScorer
from router.evaluation.datasets import Dataset
from router.evaluation.workload import synthesize
from router.policies.primal_dual import PrimalDual
from schemas.fields import Unit
from streams.routing.drawing import draw_on

CHUNKS = (1, 16, 128)
"""Queries decided at once: one alone, some, and as many as wait at a busy router."""
ASKED = 1024
"""Queries of a round."""
ROUNDS = 7
TENANTS = (None, "shop", "bank", "guest")
ROOM = 10**15
"""Of each limit: a round uses up none of them."""


def overlapping(models: Sequence[str]) -> LimitSet:
    """Return 20 limits: money, tokens and requests, over all models, some and one, and tenants."""
    units: tuple[Unit, ...] = ("currency", "tokens", "requests")
    providers = {name.split("-")[0] for name in models}
    some = [(f"{name}*",) for name in sorted(providers)[:4]]
    limits = [Limit(f"all {unit}", unit) for unit in units]
    limits += [Limit(f"{unit} of {one[0]}", unit, one) for one in some for unit in units]
    limits += [Limit(f"fair {unit}", unit, tenants="each") for unit in units]
    limits += [
        Limit("partners", tenants=frozenset({"shop", "bank"})),
        Limit("one", models=(models[0],)),
    ]
    assert len(limits) == 20
    return LimitSet(limits)


class Router:
    """Decides chunks under some limits, on a ledger of its own."""

    def __init__(self, scorer: QueryScorer, limits: LimitSet) -> None:
        """Give every limit room, and a price."""
        self._scorer, self._limits = scorer, limits
        names = tuple(limits.index)
        self._ledger = Ledger(names, np.full(len(names), ROOM))
        self._ledger.limit_tenants(tenants_in_force(limits, self._ledger, frozenset(), TENANTS))
        self._ledger.share[:] = ROOM
        covered = limits.named(scorer.catalog.names, self._ledger.names)
        self._policy = PrimalDual(scorer.catalog)
        self._policy.set_catalog(scorer.catalog, covered)
        self._policy.restore({"version": 1, "prices": dict.fromkeys(covered.names, 1e-10)})
        self._open = np.ones(len(scorer.catalog), dtype=np.bool_)

    def decide(
        self, constraints: QueryConstraints, texts: Sequence[str], tenants: Sequence[str | None]
    ) -> Ints:
        """Take the decisions of a chunk, and return the models."""
        scorer, ledger = self._scorer, self._ledger
        _, estimates = scorer.estimate(texts)
        scored = scorer.batch(estimates, constraints)
        ledger.limit_tenants(tenants_in_force(self._limits, ledger, frozenset(), tenants))
        drawing = draw_on(scored, scorer.catalog, tenants, self._limits, ledger)
        decisions = self._policy.route(*drawing.within(self._open, ledger))
        row, _, amounts = drawing.draws(decisions.model)
        ledger.reserve(drawing.accounts[row], amounts)
        drawing.held(decisions.model, ledger)
        return decisions.model


def cost(router: Router, queries: Dataset, chunk: int) -> float:
    """Return the processor time of a decision, seconds."""
    catalog = queries.catalog()
    allowed = np.ones((chunk, len(catalog)), dtype=np.bool_)
    unset = np.full(chunk, -1, dtype=np.int64)
    tenants = [TENANTS[i % len(TENANTS)] for i in range(chunk)]
    began = time.process_time()
    for start in range(0, ASKED, chunk):
        texts = queries.prompts[start : start + chunk]
        tokens = np.fromiter(map(len, texts), dtype=np.int64)
        ids = queries.ids[start : start + chunk]
        router.decide(QueryConstraints(ids, tokens, unset, unset, allowed), texts, tenants)
    return (time.process_time() - began) / ASKED


def main() -> None:
    """Print a row a size of chunk."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--history", type=int, default=1500)
    asked = parser.parse_args()
    print(machine(), f"load {os.getloadavg()[0]:.1f}")
    data = synthesize(asked.history + ASKED)
    past, queries = (
        data.take(np.arange(asked.history)),
        data.take(np.arange(asked.history, asked.history + ASKED)),
    )
    embedder = make_embedder()
    history = past.history(embedder.encode(list(past.prompts)))
    estimator = Estimator.fit(history, ExactIndex(history.embeddings), past.prompts)
    scorer = QueryScorer(embedder, estimator, data.catalog(), "quantile")
    kinds = LimitSet.per_model(scorer.catalog.names), overlapping(scorer.catalog.names)
    print(f"{'chunk':>5} {'a budget a model':>17} {'20 limits':>10} {'ratio':>6}   (µs a decision)")
    for chunk in CHUNKS:
        spent: list[list[float]] = [[], []]
        routers = [Router(scorer, limits) for limits in kinds]
        for _ in range(ROUNDS):
            for found, router in zip(spent, routers, strict=True):
                found.append(cost(router, queries, chunk))
        one, many = map(statistics.median, spent)
        print(f"{chunk:>5} {1e6 * one:>17.0f} {1e6 * many:>10.0f} {many / one:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
