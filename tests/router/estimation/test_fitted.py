"""What was learned of a history: saved, and read again."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from router.estimation.estimator import Estimator
from router.estimation.fitted import Fitted
from router.estimation.history import History
from router.estimation.index.exact import ExactIndex


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(60, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores, costs = random.uniform(size=(60, 3)).round(), random.uniform(1, 9, (60, 3))
    history = History([f"q{i}" for i in range(60)], vectors.astype(np.float32), scores, costs)
    texts = [f"query {i % 7} about {'this and that ' * (i % 5)}" for i in range(60)]
    return Estimator.fit(history, ExactIndex(history.embeddings), texts)


def test_arrays_are_read_again(estimator: Estimator) -> None:
    """All of them, to the bit."""
    again = Fitted.from_arrays(estimator.fitted.arrays(), estimator.history)
    for name, array in estimator.fitted.arrays().items():
        assert_array_equal(again.arrays()[name], array)


def test_files_of_the_version_before_are_read(estimator: Estimator) -> None:
    """They have no trust: estimates stay as they are."""
    arrays = estimator.fitted.arrays()
    del arrays["means"], arrays["trust"]
    assert Fitted.from_arrays(arrays, estimator.history).trust == 1.0


def test_another_history_is_refused(estimator: Estimator) -> None:
    """The message says what to do."""
    history = estimator.history
    part = History(
        history.ids[:30], history.embeddings[:30], history.scores[:30], history.costs[:30]
    )
    with pytest.raises(ValueError, match="build the index again"):
        Fitted.from_arrays(estimator.fitted.arrays(), part)
    arrays = estimator.fitted.arrays()
    del arrays["rows"]
    with pytest.raises(ValueError, match="lacks 'rows'"):
        Fitted.from_arrays(arrays, history)
