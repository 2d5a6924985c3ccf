"""A trained predictor, for the baselines that stand in for the paper's RoBERTa."""

from __future__ import annotations

import numpy as np

from router.arrays import Floats, Vectors

PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class Predictor:
    """Ridge regression of many outcomes on embeddings, in closed form.

    The penalty is the one of least leave-one-out error (by the hat matrix), the same for all
    models. Unknown outcomes (NaN) count as the model's mean.
    """

    without_itself: Floats
    """float64[H, M]: each row of the history, predicted by a fit on all the others."""
    half_variance: Floats
    """float64[M]: half the variance of those predictions' errors, which turns the mean of a
    logarithm into the logarithm of a mean (for errors that are normal)."""

    def __init__(self, embeddings: Vectors, outcomes: Floats) -> None:
        """Train the predictor.

        Args:
            embeddings: float32[H, dim].
            outcomes: float64[H, M], NaN where unknown.

        Raises:
            ValueError: There are fewer than two rows.
        """
        if len(embeddings) < 2:
            raise ValueError("a predictor is trained on at least 2 queries of history")
        known = np.isfinite(outcomes)
        value = np.where(known, outcomes, 0.0)
        self.mean = value.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        self.centre = embeddings.mean(axis=0, dtype=np.float64)
        x = embeddings - self.centre
        y = np.where(known, outcomes - self.mean, 0.0)
        # Every model counts the same, whatever the scale of its outcomes.
        spread = np.maximum((y**2).mean(axis=0), 1e-12)
        eigenvalues, axes = np.linalg.eigh(x.T @ x)
        eigenvalues = np.maximum(eigenvalues, 0.0)
        along = x @ axes
        targets = along.T @ y
        least = np.inf
        for penalty in PENALTIES:
            weights = targets / (eigenvalues + penalty)[:, None]
            leverage = along**2 @ (1.0 / (eigenvalues + penalty)) + 1.0 / len(x)
            error = (y - along @ weights) / np.maximum(1.0 - leverage, 1e-3)[:, None]
            loss = float(((error**2).mean(axis=0) / spread).mean())
            if loss < least:
                least = loss
                self.penalty = penalty
                self.weights = axes @ weights
                self.without_itself = y - error + self.mean
                self.half_variance = 0.5 * (error**2).mean(axis=0)

    def predict(self, vectors: Vectors) -> Floats:
        """Return float64[n, M] for float32[n, dim] vectors."""
        return np.asarray((vectors - self.centre) @ self.weights + self.mean, dtype=np.float64)
