"""Estimates of policies on a synthetic logged bandit whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.arrays import Floats, Ints
from router.evaluation.offpolicy import Logged, estimate
from router.policies.base import NONE

MODELS = 3
SHARE = 0.3


class Bandit:
    """n queries with every model's reward; a log that explores, a policy to be judged."""

    def __init__(self, seed: int, n: int = 300) -> None:
        self.random = np.random.default_rng(seed)
        self.reward: Floats = self.random.uniform(0, 1, (n, MODELS))
        self.own: Ints = self.random.integers(NONE, MODELS, n)  # what the log's policy would do
        self.wanted: Ints = self.random.integers(NONE, MODELS, n)  # what the other one does
        self.guess: Floats = np.clip(self.reward + self.random.normal(0.2, 0.2, (n, MODELS)), 0, 1)
        self.n = n

    def truth(self) -> float:
        rows = np.arange(self.n)
        return float(np.where(self.wanted == NONE, 0, self.reward[rows, self.wanted]).mean())

    def log(self) -> Logged:
        """One draw of the log: a share goes to a model drawn evenly."""
        explores = self.random.uniform(size=self.n) < SHARE
        model = np.where(explores, self.random.integers(0, MODELS, self.n), self.own)
        propensity = np.where(model == NONE, 0.0, SHARE / MODELS) + (1 - SHARE) * (
            model == self.own
        )
        rows = np.arange(self.n)
        return Logged(model, propensity, np.where(model == NONE, 0, self.reward[rows, model]))


@pytest.mark.parametrize("seed", range(3))
def test_unbiased_over_repeated_logs(seed: int) -> None:
    """Means of IPS and DR over many logs of the same queries are the truth; SNIPS nearly so; the
    direct method, on guesses that are too high, is not; DR varies least."""
    bandit = Bandit(seed)
    found = [estimate(bandit.log(), bandit.wanted, bandit.guess) for _ in range(400)]
    inverse = np.array([one.inverse.mean for one in found if one.inverse])
    normalised = np.array([one.self_normalised.mean for one in found if one.self_normalised])
    robust = np.array([one.doubly_robust.mean for one in found if one.doubly_robust])
    truth = bandit.truth()
    for values, slack in ((inverse, 0.0), (robust, 0.0), (normalised, 0.01)):
        error = values.std() / np.sqrt(len(values))
        assert abs(values.mean() - truth) < 4 * error + slack
    assert found[0].imputed.mean > truth + 0.05
    assert robust.std() < inverse.std()


def test_intervals_cover_the_truth() -> None:
    """Over queries and logs drawn anew, 95 % intervals hold the population's mean about as often
    as they say."""
    hits = {"inverse": 0, "self_normalised": 0, "doubly_robust": 0}
    rounds = 300
    for seed in range(rounds):
        bandit = Bandit(seed, 200)
        found = estimate(bandit.log(), bandit.wanted, bandit.guess)
        for name in hits:
            value = getattr(found, name)
            # The population's truth: three of four choices are a model, each worth 1/2.
            hits[name] += abs(value.mean - 0.375) <= value.half_width
    for name, count in hits.items():
        assert 0.88 <= count / rounds <= 1.0, name


def test_without_exploration_only_agreement_counts() -> None:
    """Propensities of 1 define no weighted estimate; what was not taken is counted as uncovered."""
    model = np.array([0, 1, NONE, 2, 0])
    logged = Logged(model, np.ones(5), np.array([1.0, 0.5, 0.0, 0.2, 0.6]))
    found = estimate(logged, np.array([0, 0, 1, 2, NONE]), np.full((5, MODELS), 0.5))
    assert found.inverse is found.self_normalised is found.doubly_robust is None
    assert (found.agreed, found.uncovered) == (2, 2)
    assert found.on_agreement.mean == pytest.approx(0.6)
    assert not logged.explored


@given(st.integers(0, 10_000))
def test_the_logs_own_decisions_are_worth_what_they_earned(seed: int) -> None:
    """Where a policy does what the log did with certainty, every estimate is the log's mean."""
    random = np.random.default_rng(seed)
    n = int(random.integers(2, 30))
    model = random.integers(NONE, MODELS, n)
    reward = np.where(model == NONE, 0.0, random.uniform(size=n))
    propensity = np.ones(n)
    propensity[0] = 1 - 1e-6  # one decision left a little to chance
    found = estimate(Logged(model, propensity, reward), model, random.uniform(size=(n, MODELS)))
    assert found.inverse is not None
    assert found.doubly_robust is not None
    assert found.inverse.mean == pytest.approx(reward.mean(), abs=1e-5)
    assert found.doubly_robust.mean == pytest.approx(reward.mean(), abs=1e-5)
    assert found.uncovered == 0


def test_unknown_rewards_are_left_out() -> None:
    """A query without a known reward counts nowhere."""
    reward = np.array([1.0, np.nan, 0.0])
    logged = Logged(np.array([0, 0, NONE]), np.array([0.5, 0.5, 0.5]), reward)
    found = estimate(logged, np.array([0, 0, 0]), np.zeros((3, MODELS)))
    assert found.arrivals == 2
    assert found.inverse is not None
    assert found.inverse.mean == pytest.approx(1.0)


@pytest.mark.parametrize("wrong", [0.0, -0.1, 1.5, float("nan")])
def test_impossible_propensities_are_refused(wrong: float) -> None:
    """Something that was decided had a chance above 0."""
    with pytest.raises(ValueError, match="propensity"):
        Logged(np.array([0]), np.array([wrong]), np.array([1.0]))
