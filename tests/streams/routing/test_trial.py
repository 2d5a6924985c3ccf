"""What must hold of decisions on trial: they are those that would be taken, and change nothing."""

from __future__ import annotations

import sys

import numpy as np

from router.budget.limits import LimitSet
from router.policies.primal_dual import PrimalDual
from streams.routing.arrivals import parse
from streams.routing.decide import DecisionContext, decide, estimate
from streams.routing.decider import Decider
from streams.routing.trial import Trial
from streams.state.store import MemoryStore
from tests.support.recorded import (
    CORE,
    FLEET,
    RecordedOutbox,
    new_ledger,
    open_partition,
    query,
    record,
)


def test_a_trial_decides_and_leaves_the_state_as_it_is() -> None:
    """Money, ids and offsets stay; what lacked room is kept apart."""
    partition = open_partition(RecordedOutbox(), MemoryStore(), ledger=new_ledger((0, 10**6)))
    decider = Decider(
        CORE,
        PrimalDual(FLEET),
        LimitSet.per_model(FLEET.names),
        np.ones(len(FLEET), dtype=np.bool_),
    )
    values = [query("a"), query("b", allowed_models=["small"])]
    arrivals = parse([record(i, value) for i, value in enumerate(values)], FLEET, CORE.embedder)
    trial = Trial(partition)
    context = DecisionContext(decider, "deferred", 1000.0, sys.maxsize)
    rows = decide(estimate(CORE, arrivals), context, trial)
    assert [rows[i].receipt.decision for i in range(2)] == ["routed", "deferred"]
    assert partition.ledger.reserved.tolist() == [0, 0]
    assert not partition.unmet.any()
    assert partition.retried["queries"] == -1
    ((account, amount),) = trial.unmet
    assert (account, amount > 0) == (0, True)
