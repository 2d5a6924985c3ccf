"""The predictor for the baselines: ridge regression with an honest leave-one-out error."""

from __future__ import annotations

import numpy as np
import pytest

from router.evaluation.predictor import PENALTIES, Predictor

RANDOM = np.random.default_rng(5)
EMBEDDINGS = RANDOM.normal(size=(40, 3)).astype(np.float32)
OUTCOMES = EMBEDDINGS @ np.array([[1.0, 0.0], [0.0, -2.0], [0.5, 0.5]]) + RANDOM.normal(
    scale=0.3, size=(40, 2)
)


def ridge(penalty: float, keep: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The textbook's answer at rows `at` from rows `keep`, with an intercept without penalty."""
    x, y = EMBEDDINGS[keep].astype(float), OUTCOMES[keep]
    centre, mean = x.mean(axis=0), y.mean(axis=0)
    gram = (x - centre).T @ (x - centre) + penalty * np.eye(3)
    weights = np.linalg.solve(gram, (x - centre).T @ (y - mean))
    return np.asarray((EMBEDDINGS[at] - centre) @ weights + mean)


def test_it_is_ridge_regression() -> None:
    """Predictions are those of the normal equations, with a penalty of the list."""
    predictor = Predictor(EMBEDDINGS, OUTCOMES)
    every = np.arange(40)
    assert predictor.penalty in PENALTIES
    assert np.allclose(predictor.predict(EMBEDDINGS), ridge(predictor.penalty, every, every))


def test_without_itself_is_a_fit_on_all_the_others() -> None:
    """The hat matrix says what refitting without each row says (means are of all but the row)."""
    predictor = Predictor(EMBEDDINGS, OUTCOMES)
    every = np.arange(40)
    refitted = [ridge(predictor.penalty, np.delete(every, row), every[[row]])[0] for row in every]
    assert np.allclose(predictor.without_itself, refitted)


def test_the_penalty_has_the_least_error() -> None:
    """No other of the list predicts left-out rows better, on both models together."""
    every = np.arange(40)
    spread = OUTCOMES.var(axis=0)
    losses = {
        penalty: np.mean(
            [
                (ridge(penalty, np.delete(every, row), every[[row]])[0] - OUTCOMES[row]) ** 2
                / spread
                for row in every
            ]
        )
        for penalty in PENALTIES
    }
    assert Predictor(EMBEDDINGS, OUTCOMES).penalty == min(losses, key=losses.__getitem__)


def test_unknown_outcomes_count_as_the_mean() -> None:
    """A model that is unknown but for a few queries is not predicted to be 0."""
    outcomes = np.full((40, 1), np.nan)
    outcomes[:4] = 0.7
    assert np.allclose(Predictor(EMBEDDINGS, outcomes).predict(EMBEDDINGS), 0.7)


def test_one_query_is_no_history() -> None:
    """There would be nothing to leave out."""
    with pytest.raises(ValueError, match="at least 2 queries"):
        Predictor(EMBEDDINGS[:1], OUTCOMES[:1])
