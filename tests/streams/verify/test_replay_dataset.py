"""A log's queries as a dataset."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from router.estimation.scorer import QueryScorer
from router.policies.base import NONE
from schemas import Receipt, Source
from schemas.wire import decode, encode
from streams.kafka.logs import Record
from streams.routing import build
from streams.verify.receipt_store import ReceiptStore
from streams.verify.replay_dataset import ReplayDataset, build_dataset, read_results
from tests.support.decisions import receipt, result
from tests.support.recorded import CORE, TOPICS, query
from tests.support.recording import Restored


@pytest.fixture(scope="module")
def scorer(deployment: Restored) -> QueryScorer:
    """On the recorded index."""
    parts = build.build(deployment.config)
    return parts.scorer


@pytest.fixture(scope="module")
def receipt_store(deployment: Restored) -> Iterator[ReceiptStore]:
    """All recorded receipts."""
    with ReceiptStore(deployment.topics) as opened:
        opened.fill(deployment.recording.of("receipts"))
        yield opened


@pytest.fixture(scope="module")
def dataset(
    deployment: Restored, scorer: QueryScorer, receipt_store: ReceiptStore
) -> ReplayDataset:
    """Of the whole recording."""
    recording = deployment.recording
    queries, results = recording.of("queries"), recording.of("results")
    return build_dataset(scorer, queries, results, receipt_store)


def decisions(deployment: Restored) -> list[Receipt]:
    """Those on arrival, without rejected queries, in the order in which they were made."""
    receipts = [decode(Receipt, one.value) for one in deployment.recording.of("receipts")]
    return sorted(
        (
            one
            for one in receipts
            if one.source.topic == deployment.topics.queries
            and one.decision in ("routed", "deferred")
        ),
        key=lambda one: (one.decided_at, one.source.partition, one.source.offset),
    )


def test_every_decided_query(deployment: Restored, dataset: ReplayDataset) -> None:
    """In the order of the decisions, with what was decided on arrival and its probability."""
    made, names = decisions(deployment), list(deployment.config.models)
    assert dataset.ids == [one.id for one in made]
    assert dataset.propensity.tolist() == [one.propensity for one in made]
    column = {name: number for number, name in enumerate(names)}
    assert dataset.model.tolist() == [column.get(one.model or "", NONE) for one in made]


def test_shapes(dataset: ReplayDataset) -> None:
    """n queries, M models; at most one outcome of a query on each model is known."""
    n, m = len(dataset), 3
    for values in (dataset.quality, dataset.cost, dataset.allowed, dataset.scores, dataset.costs):
        assert values.shape == (n, m)
    assert dataset.vectors.shape[0] == n
    assert np.isfinite(dataset.costs).any()
    assert (np.isfinite(dataset.costs).sum(axis=1) <= 1).all()
    assert dataset.left_out > 0  # the malformed queries


def test_a_part_of_the_models(dataset: ReplayDataset) -> None:
    """Columns are kept in the order asked for; decisions for others count as deferred."""
    part = dataset.with_models([2, 0])
    assert part.scores.shape == (len(dataset), 2)
    np.testing.assert_array_equal(part.cost, dataset.cost[:, [2, 0]])
    place = {0: 1, 1: NONE, 2: 0, NONE: NONE}
    assert part.model.tolist() == [place[model] for model in dataset.model.tolist()]


def test_an_id_that_came_twice_is_one_query() -> None:
    """The second record was put to no policy; the outcome of the first, also after a retry, is the
    first's. A score that nobody has told is unknown, and its cost is known."""
    receipts = [
        receipt(0, None),
        receipt(1, None, id="q0", decision="duplicate", reason="seen_before"),
        receipt(2, "large"),
        receipt(
            0, "small", decision_id="deferred/0/0", source=Source("deferred", 0, 0), decided_at=9e3
        ),
    ]
    results = [
        result(0, decision_id="deferred/0/0", score=None, cost=70),
        result(2, "large", score=0.5, cost=90),
        result(2, "large", score=1.0, cost=10),
    ]
    queries = [log(i, query(id)) for i, id in enumerate(["q0", "q0", "q2"])]
    with ReceiptStore(TOPICS) as opened:
        opened.fill(log(i, encode(one)) for i, one in enumerate(receipts))
        found = build_dataset(
            CORE, queries, [log(i, encode(one)) for i, one in enumerate(results)], opened
        )
    assert (found.ids, found.left_out) == (["q0", "q2"], 1)
    assert found.model.tolist() == [NONE, 1]
    np.testing.assert_array_equal(found.scores, [[np.nan, np.nan], [np.nan, 0.5]])
    np.testing.assert_array_equal(found.costs, [[70, np.nan], [np.nan, 90]])


def log(offset: int, value: bytes) -> Record:
    return Record("any", 0, offset, 0, b"k", value, [])


def test_nothing_decided(
    deployment: Restored, scorer: QueryScorer, receipt_store: ReceiptStore
) -> None:
    """Is an error that says so."""
    with pytest.raises(ValueError, match="no query of that time has been decided"):
        build_dataset(scorer, [], deployment.recording.of("results"), receipt_store)


def test_results_that_are_none_are_skipped(deployment: Restored) -> None:
    """The recording has one."""
    records = deployment.recording.of("results")
    assert len(list(read_results(records))) == len(records) - 1
