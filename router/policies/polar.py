"""POLAR: which adapters of one base model are resident, and which of all answers a query.

Offline only, and no `Policy`: a decision needs the query's vector, and its score is learned from
before the next one.
"""

from __future__ import annotations

import numpy as np

from router.arrays import Bools, Floats, Ints
from router.policies.linucb import LinUcb

FIRST = 512
"""Queries of the first epoch; each later one is twice as long."""
SEEN = 1000
"""Newest vectors by which a resident set is chosen."""


class Polar:
    """Chooses among all adapters by LinUCB less the price of loading one that is not resident.

    From the abstract of arXiv 2604.16583: scores that know the cache, a slow controller that
    chooses K resident adapters an epoch, and epochs that double and begin with forced exploration.
    Ours: the loading cost itself as the price; exploration in turns, over √(length of the epoch)
    queries; and the set, which covers the newest queries greedily (`cover`).
    """

    def __init__(
        self, adapters: int, dimension: int, resident: int, load: float, alpha: float = 0.3
    ) -> None:
        """Begin with the first adapters resident.

        Args:
            adapters: M.
            dimension: d, of queries' vectors.
            resident: K, adapters that fit at a time.
            load: What loading one costs, in units of score.
            alpha: Of `LinUcb`.
        """
        self.load = load
        self.bandit = LinUcb(adapters, dimension, alpha)
        self.resident: Bools = np.arange(adapters) < resident
        self.loads = 0
        """Adapters loaded so far: for single queries, and when the set changed."""
        self._count = resident
        self._recent: Floats = np.empty((SEEN, dimension))
        self._decided = 0
        self._epoch, self._begun = FIRST, 0

    def choose(self, x: Floats) -> int:
        """Choose the adapter that answers a query, and load it where it is not resident.

        Args:
            x: float64[d].
        """
        at = self._decided - self._begun
        if at == self._epoch:
            self._epoch, self._begun, at = 2 * self._epoch, self._decided, 0
        explored = int(np.sqrt(self._epoch))
        if at == explored and self._decided:
            self._choose_resident()
        self._recent[self._decided % SEEN] = x
        self._decided += 1
        if at < explored:
            chosen = at % len(self.resident)
        else:
            price = np.where(self.resident, 0.0, self.load)
            chosen = int((self.bandit.upper(x) - price).argmax())
        self.loads += int(not self.resident[chosen])
        return chosen

    def learn(self, adapter: int, x: Floats, score: float) -> None:
        """See the score of an answer. x: float64[d]."""
        self.bandit.learn(adapter, x, score)

    def _choose_resident(self) -> None:
        seen = self._recent[: min(self._decided, SEEN)]
        chosen = cover(seen @ self.bandit.theta.T, self._count)
        before = self.resident
        self.resident = np.zeros(len(before), dtype=np.bool_)
        self.resident[chosen] = True
        self.loads += int((self.resident & ~before).sum())


def cover(score: Floats, count: int) -> Ints:
    """Return the adapters that greedily make Σ max over the chosen of score the largest.

    Args:
        score: float64[n, M], of queries.
        count: Adapters to choose, at most M.

    Returns:
        int64[count], in the order of their gains.
    """
    best = np.full(len(score), -np.inf)
    chosen: list[int] = []
    for _ in range(count):
        gain = np.maximum(score, best[:, None]).sum(axis=0)
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
        best = np.maximum(best, score[:, chosen[-1]])
    return np.array(chosen, dtype=np.int64)
