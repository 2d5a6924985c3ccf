"""Off-policy evaluation: what another policy would have earned, from a log that another one wrote.

Sources: inverse propensity and doubly robust estimates: Dudík, Langford, Li, "Doubly robust policy
evaluation and learning" (ICML 2011, arXiv 1103.4601), section 2; self-normalised: Swaminathan,
Joachims, "The self-normalized estimator for counterfactual learning" (NeurIPS 2015), equation 11;
effective sample size: Kong, "A note on importance sampling" (1992).

A deferred query earns nothing for certain, so it needs no propensity. For the others an estimate is
unbiased only where the log could have taken the same decision: a query with propensity 1 for
something else carries no information (`Estimate.uncovered`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from router.arrays import Bools, Floats, Ints
from router.policies.base import NONE

CERTAIN = 1.0 - 1e-9
"""A propensity from which on nothing else could have been decided."""


@dataclass(frozen=True, slots=True)
class Logged:
    """n decisions of a log.

    Attributes:
        model: int64[n], NONE where deferred.
        propensity: float64[n] of that decision, above 0 and at most 1.
        reward: float64[n], NaN where unknown, 0 where deferred.
    """

    model: Ints
    propensity: Floats
    reward: Floats

    def __post_init__(self) -> None:
        if not ((self.propensity > 0) & (self.propensity <= 1)).all():
            raise ValueError("a propensity is above 0 and at most 1")

    @property
    def explored(self) -> bool:
        """Whether any query had more than one possible decision."""
        return bool((self.propensity < CERTAIN).any())


@dataclass(frozen=True, slots=True)
class Value:
    """A mean reward per query, with its confidence interval.

    Attributes:
        mean: The mean.
        half_width: Half the interval's width; NaN where there is none.
    """

    mean: float
    half_width: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimates of a policy's mean reward per query.

    Attributes:
        arrivals: Queries whose reward is known in the log.
        agreed: Queries that both send to the same model.
        uncovered: Queries that the policy sends to a model that the log could not have chosen.
        sample_size: Effective number of queries behind the weighted means.
        on_agreement: Mean logged reward where both agree; defined without any exploration.
        imputed: The direct method.
        inverse: Inverse propensity weighting; None without exploration.
        self_normalised: The same with normalised weights; None without exploration.
        doubly_robust: The doubly robust estimate; None without exploration.
    """

    arrivals: int
    agreed: int
    uncovered: int
    sample_size: float
    on_agreement: Value
    imputed: Value
    inverse: Value | None
    self_normalised: Value | None
    doubly_robust: Value | None


def estimate(logged: Logged, chosen: Ints, imputed: Floats, confidence: float = 0.95) -> Estimate:
    """Evaluate decisions on a log.

    Queries whose logged reward is unknown are left out, which is right where rewards are missing at
    random. Intervals are normal approximations.

    Args:
        logged: The log.
        chosen: int64[n], the policy's models; NONE where it defers.
        imputed: float64[n, M], what each model would have earned, without the query's own outcome.
        confidence: Of the intervals, 0 to 1.
    """
    known = np.isfinite(logged.reward)
    model, propensity, reward = logged.model[known], logged.propensity[known], logged.reward[known]
    chosen, imputed = chosen[known], imputed[known]
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    sent = chosen != NONE
    agreed = sent & (chosen == model)
    weight = np.where(agreed, 1.0 / propensity, 0.0)
    wanted, taken = _of(imputed, chosen), _of(imputed, model)
    explored = logged.explored
    return Estimate(
        arrivals=len(reward),
        agreed=int(agreed.sum()),
        uncovered=int((sent & ~agreed & (propensity >= CERTAIN)).sum()),
        sample_size=_effective(weight),
        on_agreement=_mean(reward[agreed], z),
        imputed=_mean(wanted, z),
        inverse=_mean(weight * reward, z) if explored else None,
        self_normalised=_normalised(weight, reward, sent, z) if explored else None,
        doubly_robust=_mean(wanted + weight * (reward - taken), z) if explored else None,
    )


def _of(values: Floats, models: Ints) -> Floats:
    """Return float64[n], each row's value for its model; 0 where there is none."""
    rows = np.arange(len(models))
    return np.where(models == NONE, 0.0, values[rows, np.maximum(models, 0)])


def _mean(values: Floats, z: float) -> Value:
    n = len(values)
    if n == 0:
        return Value(float("nan"), float("nan"))
    spread = float(np.std(values, ddof=1)) if n > 1 else float("nan")
    return Value(float(values.mean()), z * spread / math.sqrt(n))


def _normalised(weight: Floats, reward: Floats, sent: Bools, z: float) -> Value:
    """Return Σ w r / Σ w over the queries that are sent, times their part of all.

    Deferred queries are known to earn 0 and are kept out of the normalisation: the log need not
    have deferred them. Interval by the delta method.
    """
    total = float(weight.sum())
    if total == 0:
        return Value(float("nan"), float("nan"))
    share = float(sent.mean())
    mean = float((weight * reward).sum()) / total
    spread = float(np.sqrt((weight**2 * (reward - mean) ** 2).sum())) / total
    return Value(share * mean, share * z * spread)


def _effective(weight: Floats) -> float:
    square = float((weight**2).sum())
    return float(weight.sum()) ** 2 / square if square else 0.0
