"""LinUCB with a model each: scores linear in a query's vector, and how uncertain they are."""

from __future__ import annotations

import numpy as np

from router.arrays import Floats


class LinUcb:
    """Learns a linear score of each model, and gives upper confidence bounds of it.

    The disjoint form of Li et al. (WWW 2010): ridge regression a model, θ = A⁻¹b with
    A = I + Σ x·xᵀ, and the bound θ·x + α·√(xᵀA⁻¹x).
    """

    def __init__(self, models: int, dimension: int, alpha: float = 0.3) -> None:
        """Know nothing: every model scores 0, with the widest bound.

        Args:
            models: M.
            dimension: d, of the vectors.
            alpha: Width of the bounds, in parts of a standard error.
        """
        self.alpha = alpha
        self.theta: Floats = np.zeros((models, dimension))
        self._b = np.zeros((models, dimension))
        self._inverse = np.tile(np.eye(dimension), (models, 1, 1))

    def upper(self, x: Floats) -> Floats:
        """Return float64[M], the upper bounds of a query's scores. x: float64[d]."""
        width = np.sqrt((self._inverse @ x) @ x)
        bound: Floats = self.theta @ x + self.alpha * width
        return bound

    def learn(self, model: int, x: Floats, score: float) -> None:
        """See the score of a model's answer (Sherman-Morrison). x: float64[d]."""
        inverse = self._inverse[model]
        column = inverse @ x
        inverse -= np.outer(column, column) / (1.0 + column @ x)
        self._b[model] += score * x
        self.theta[model] = inverse @ self._b[model]
