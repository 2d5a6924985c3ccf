"""Other policies on a recorded log."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from router.budget.limits import Limit, LimitSet
from streams.kafka.logs import Logs
from streams.routing.build import Parts, build
from streams.verify.policy_comparison import PolicyComparison, uncounted
from streams.verify.replay import Source, read
from streams.verify.replay_dataset import ReplayDataset
from tests.support.recording import Restored


@pytest.fixture(scope="module")
def parts(deployment: Restored) -> Parts:
    """Of the recorded configuration and index."""
    return build(deployment.config)


@pytest.fixture(scope="module")
def dataset(deployment: Restored, parts: Parts) -> ReplayDataset:
    """Of the whole log."""
    source = Source(Logs(deployment.config.broker), deployment.topics)
    return read(parts, source, lambda what, total: lambda count: None)


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
