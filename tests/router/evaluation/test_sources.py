"""From files to embedded histories and arrivals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from router.arrays import Vectors
from router.estimation.embedders import Embedder
from router.evaluation.datasets import DatasetError
from router.evaluation.sources import BLOCK, apart, common_models, embed, embedder_named, splits
from tests.support.outcomes import outcomes, vectors


class Lengths(Embedder):
    """A text's length, as a vector of 1."""

    name, dimension, max_characters = "lengths", 2, 10_000

    def _embed(self, texts: list[str]) -> Vectors:
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)


def test_texts_are_embedded_in_blocks() -> None:
    """In their order, and progress adds up."""
    texts = ["x" * (1 + i % 7) for i in range(BLOCK + 3)]
    steps: list[int] = []
    found = embed(texts, Lengths(), steps.append)
    assert steps == [BLOCK, 3]
    assert np.array_equal(found, Lengths().encode(texts))
    assert embed([], Lengths()).shape == (0, 2)


def test_an_embedder_that_is_none() -> None:
    """The kinds that there are are named."""
    with pytest.raises(ValueError, match="bert"):
        embedder_named("bert")


def test_each_seed_is_a_split_with_its_own_vectors() -> None:
    """Rows of vectors follow their queries."""
    data = outcomes(20)
    known = dict(zip(data.ids, vectors(data), strict=True))
    found = list(splits(data, vectors(data), 0.4, [1, 2]))
    assert [len(one.queries) for one in found] == [8, 8]
    assert found[0].queries.ids != found[1].queries.ids
    for one in found:
        assert np.array_equal(one.known.vectors, [known[name] for name in one.queries.ids])
        assert set(one.history.ids).isdisjoint(one.queries.ids)


def test_models_that_both_know() -> None:
    """In the order of the queries' file; none is an error."""
    data = outcomes(20)
    history, queries = data.split(0.5, 0)
    a, b = common_models(
        history.with_models(data.models[::-1]), queries.with_models(data.models[:2])
    )
    assert a.models == b.models == data.models[:2]
    with pytest.raises(DatasetError, match="no model in common"):
        common_models(history.with_models(data.models[:1]), queries.with_models(data.models[1:]))


def test_what_stands_on_both_sides_is_left_out_of_the_history() -> None:
    """A query would see its own outcome among its neighbours'."""
    data = outcomes(5)
    twice = replace(data.take(np.array([0, 1, 2, 3, 0])), ids=["a1", "b2", "c3", "d4", "e5"])
    kept = apart(twice, data.take(np.array([0, 1])))
    assert kept.ids == ["c3", "d4"]
    assert apart(kept, data.take(np.array([4]))) is kept
    with pytest.raises(DatasetError, match="nothing is left"):
        apart(data, data)
    for one in splits(twice, vectors(twice), 0.4, range(5)):
        assert set(one.history.prompts).isdisjoint(one.queries.prompts)
        assert one.left_out == len(twice) - len(one.history) - len(one.queries)
