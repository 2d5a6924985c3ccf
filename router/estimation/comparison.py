"""Two sets of estimates of the same queries, by what decisions on them would have earned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router.arrays import Floats
from router.estimation.trust import DOUBT, decided_values, shared_prices


@dataclass(frozen=True, slots=True)
class Gain:
    """What one set of estimates earns more than another.

    Attributes:
        part: Of what the other earns; negative where it does worse.
        doubt: Its standard error.
        rows: Queries that it was measured on.
    """

    part: float
    doubt: float
    rows: int

    @property
    def worse(self) -> bool:
        """Whether it does worse, beyond a margin for chance."""
        return self.part < -DOUBT * self.doubt


def compare(
    quality: tuple[Floats, Floats],
    cost: tuple[Floats, Floats],
    scores: Floats,
    costs: Floats,
) -> Gain:
    """Compare decisions on new estimates with those on old ones.

    Each is decided as the program would under shared budgets, at the mean of the prices that the
    two sets of estimates lead to, and valued net of its true cost at these prices. An outcome that
    nobody has seen is taken to be the mean of both estimates, so that neither is believed about
    itself alone.

    Args:
        quality: New and old, float64[n, M] each; no row knows its own outcome.
        cost: Likewise, nano-units.
        scores: float64[n, M], the outcomes; NaN where unknown.
        costs: float64[n, M] nano-units, likewise.
    """
    known = np.isfinite(scores) & np.isfinite(costs)
    rows = np.flatnonzero(known.any(axis=1))
    if not len(rows):
        return Gain(0.0, 0.0, 0)
    quality = (quality[0][rows], quality[1][rows])
    cost = (cost[0][rows], cost[1][rows])
    score = np.where(known[rows], scores[rows], (quality[0] + quality[1]) / 2)
    charge = np.where(known[rows], costs[rows], (cost[0] + cost[1]) / 2)
    own = [shared_prices(*pair) for pair in zip(quality, cost, strict=True)]
    earned = [np.zeros(len(rows)), np.zeros(len(rows))]
    for new_price, old_price in zip(*own, strict=False):
        price = (new_price + old_price) / 2
        true = score - price * charge
        for i in (0, 1):
            earned[i] += decided_values(quality[i] - price * cost[i], true)
    ahead = earned[0] - earned[1]
    scale = max(abs(float(earned[1].mean())), 1e-12)
    doubt = float(ahead.std()) / np.sqrt(len(rows))
    return Gain(float(ahead.mean()) / scale, doubt / scale, len(rows))
