"""The synthetic workload."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from router.evaluation.datasets import Dataset, read_jsonl, write_jsonl
from router.evaluation.workload import PUBLISHED, synthesize
from router.evaluation.workload_words import EASY, HARD
from schemas.fields import NANO


@pytest.fixture(scope="module")
def whole() -> Dataset:
    return synthesize()


def test_same_seed_same_queries() -> None:
    """Ids, prompts and outcomes are a function of count and seed."""
    first, again, other = synthesize(50, 3), synthesize(50, 3), synthesize(50, 4)
    assert (first.ids, first.prompts, first.tasks) == (again.ids, again.prompts, again.tasks)
    assert_array_equal(first.scores, again.scores)
    assert_array_equal(first.costs, again.costs)
    assert first.prompts != other.prompts


def test_means_are_the_published_ones(whole: Dataset) -> None:
    """Mean costs are RouterBench's to the rounding, mean scores to the draw."""
    costs, scores = np.array(list(PUBLISHED.values())).T
    assert_allclose(whole.costs.mean(axis=0) / NANO, costs, rtol=1e-4)
    assert_allclose(whole.scores.mean(axis=0), scores, atol=0.02)


def test_outcomes_are_possible(whole: Dataset) -> None:
    """Every model has a score in 0..1 and a whole positive cost for every query; ids are unique."""
    assert len(set(whole.ids)) == len(whole)
    assert set(np.unique(whole.scores)) == {0.0, 1.0}
    assert (whole.costs > 0).all()
    assert_array_equal(whole.costs, np.rint(whole.costs))


def test_topics_differ_in_their_best_model(whole: Dataset) -> None:
    """No one model is the best in every topic, so routing has something to find."""
    tasks = np.array(whole.tasks)
    best = {
        whole.models[int(whole.scores[tasks == task].mean(axis=0).argmax())] for task in set(tasks)
    }
    assert len(best) >= 3


def test_the_wording_carries_signal(whole: Dataset) -> None:
    """Prompts with a hard wording get poorer answers from every model than those with an easy."""
    hard = [any(words in prompt for words in HARD) for prompt in whole.prompts]
    easy = [any(words in prompt for words in EASY) for prompt in whole.prompts]
    gap = whole.scores[np.array(easy)].mean(axis=0) - whole.scores[np.array(hard)].mean(axis=0)
    assert (gap > 0.1).all()


def test_longer_prompts_cost_more(whole: Dataset) -> None:
    """Costs grow with the prompt's length."""
    lengths = np.array([len(prompt) for prompt in whole.prompts])
    for column in whole.costs.T:
        assert np.corrcoef(lengths, column)[0, 1] > 0.1


def test_file_round_trip(tmp_path: Path) -> None:
    """What is written as JSON lines reads back the same."""
    made = synthesize(20)
    write_jsonl(made, tmp_path / "workload.jsonl.gz")
    read = read_jsonl(tmp_path / "workload.jsonl.gz")
    assert (read.ids, read.prompts, read.models) == (made.ids, made.prompts, made.models)
    assert_array_equal(read.scores, made.scores)
    assert_allclose(read.costs, made.costs, rtol=1e-12)


def test_no_queries_is_refused() -> None:
    """A count below one says so."""
    with pytest.raises(ValueError, match="at least 1 query"):
        synthesize(0)
