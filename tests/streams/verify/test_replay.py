"""Other policies, and the same decisions again, on a recorded log."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from router.budget.limits import Limit, LimitSet
from streams.kafka.logs import Logs
from streams.routing.build import Parts, build
from streams.routing.reindex import Indexes
from streams.verify.ledger_snapshot import ProgressCallback
from streams.verify.replay import PolicyComparison, Source, read, uncounted, verify
from streams.verify.replay_dataset import ReplayDataset
from tests.support.recording import Restored


class Tasks:
    """Progress by task: the total that was announced, and the amounts done."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.done: dict[str, int] = {}

    def begin(self, what: str, total: int) -> ProgressCallback:
        self.totals[what], self.done[what] = total, 0

        def advance(count: int) -> None:
            self.done[what] += count

        return advance


def source(deployment: Restored, since: float | None = None) -> Source:
    return Source(Logs(deployment.config.broker), deployment.topics, since)


@pytest.fixture(scope="module")
def parts(deployment: Restored) -> Parts:
    """Of the recorded configuration and index."""
    return build(deployment.config)


@pytest.fixture(scope="module")
def dataset(deployment: Restored, parts: Parts) -> ReplayDataset:
    """Of the whole log."""
    return read(parts, source(deployment), Tasks().begin)


def test_verify(deployment: Restored, parts: Parts) -> None:
    """Every decision is re-executed, the ledgers are equal, and progress is told."""
    tasks = Tasks()
    found = verify(Indexes.kept(deployment.config, parts), source(deployment), tasks.begin)
    recorded = deployment.recording.header.verified["partitions"]
    assert [one.decisions for one in found.replayed] == [one["decisions"] for one in recorded]
    assert not any(one.differences for one in found.replayed)
    assert not any(one.differences for one in found.audited)
    assert not found.refused
    for what, total in tasks.totals.items():
        assert 0 < tasks.done[what] <= total
    assert tasks.done["comparing ledgers"] == tasks.totals["comparing ledgers"]


def test_verify_a_part_of_the_time(deployment: Restored, parts: Parts) -> None:
    """Decisions from before are believed; those after are the same."""
    moments = sorted(one.timestamp for one in deployment.recording.of("queries"))
    since = moments[len(moments) // 2] / 1000
    tasks = Tasks()
    indexes = Indexes.kept(deployment.config, parts)
    found = verify(indexes, source(deployment, since), tasks.begin)
    assert sum(one.adopted for one in found.replayed) > 0
    assert sum(one.decisions for one in found.replayed) > 0
    assert not any(one.differences for one in found.replayed)
    assert not any(one.differences for one in found.audited)


def test_policies(deployment: Restored, parts: Parts, dataset: ReplayDataset) -> None:
    """Each policy with each budget, within the limits, the same on a second run."""
    comparison = PolicyComparison(deployment.config, parts, dataset, [])
    asked = ["primal-dual", "random"], [0.5, 1.0]
    found = list(comparison.run(*asked))
    assert [(one.policy, one.budget) for one in found] == [
        ("primal-dual", 0.5),
        ("random", 0.5),
        ("primal-dual", 1.0),
        ("random", 1.0),
    ]
    for one in found:
        spent = np.zeros(3)
        for row, model in enumerate(one.run.model):
            if one.run.served[row]:
                spent[model] += one.problem.costs[row, model]
        assert (spent <= one.problem.limits).all()
    again = list(comparison.run(*asked))
    assert [one.score for one in again] == [one.score for one in found]
    assert comparison.explored
    assert 0 < comparison.judged_outcomes <= len(dataset)


@pytest.mark.filterwarnings("error")
def test_a_log_without_scores(deployment: Restored, parts: Parts, dataset: ReplayDataset) -> None:
    """Means of nothing are not known, and nobody is warned of it."""
    unknown, sent_all = np.full_like(dataset.scores, np.nan), np.maximum(dataset.model, 0)
    unjudged = replace(dataset, scores=unknown, model=sent_all)
    score, cost, sent = PolicyComparison(deployment.config, parts, unjudged, []).logged()
    assert np.isnan(score)
    assert cost > 0
    assert sent > 0


def test_a_part_of_the_models(deployment: Restored, parts: Parts, dataset: ReplayDataset) -> None:
    """Nothing goes to the others."""
    comparison = PolicyComparison(deployment.config, parts, dataset, ["mixtral-8x7b"])
    (found,) = comparison.run(["primal-dual"], [1.0])
    assert list(found.problem.catalog.names) == ["mixtral-8x7b"]
    assert set(found.run.model[found.run.served].tolist()) <= {0}


def test_an_unknown_model(deployment: Restored, parts: Parts, dataset: ReplayDataset) -> None:
    """Is refused, with those there are."""
    with pytest.raises(ValueError, match=r"no model 'nobody'.*mistral-7b"):
        PolicyComparison(deployment.config, parts, dataset, ["nobody"])


def test_limits_that_are_not_counted_are_named() -> None:
    """Those of single tenants, of tokens and of requests."""
    limits = LimitSet(
        [
            Limit("all"),
            Limit("some", models=("a",)),
            Limit("tokens", "tokens"),
            Limit("calls", "requests"),
            Limit("fair", tenants="each"),
            Limit("partners", tenants=frozenset({"shop"})),
        ]
    )
    assert uncounted(limits) == ["tokens", "calls", "fair", "partners"]
