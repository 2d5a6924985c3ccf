"""Which of two sets of estimates earns more."""

from __future__ import annotations

import numpy as np
import pytest

from router.arrays import Floats
from router.estimation.comparison import compare

N = 400


def outcomes() -> tuple[Floats, Floats]:
    """Two models, each right on one half of the queries, at the same cost."""
    right = np.random.default_rng(0).integers(2, size=N)
    return np.eye(2)[right], np.full((N, 2), 1000.0)


@pytest.mark.parametrize("seen", [1.0, 0.5], ids=["all-known", "half-known"])
def test_knowing_is_worth_more_than_guessing(seen: float) -> None:
    """Estimates that know which model is right do better than those that do not, also where not
    all outcomes are known; and they do not do better than themselves."""
    scores, costs = outcomes()
    good, bad = 0.3 + 0.4 * scores, np.full((N, 2), 0.5)
    wrong = 0.7 - 0.4 * scores
    hidden = np.random.default_rng(1).random((N, 2)) > seen
    scores = np.where(hidden, np.nan, scores)
    better = compare((good, bad), (costs, costs), scores, costs)
    worse = compare((wrong, good), (costs, costs), scores, costs)
    assert better.part > 3 * better.doubt
    assert not better.worse
    assert worse.worse
    same = compare((good, good), (costs, costs), scores, costs)
    assert (same.part, same.worse) == (0.0, False)


def test_nothing_known() -> None:
    """Without outcomes neither is worse."""
    scores, costs = outcomes()
    none = np.full_like(scores, np.nan)
    gain = compare((scores, scores), (costs, costs), none, none)
    assert (gain.rows, gain.worse) == (0, False)
