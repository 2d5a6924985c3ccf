"""What was learned of a history, as arrays that are saved beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from router.arrays import Floats, Ints, Vectors
from router.estimation.features import TextFeatures, TextVectors
from router.estimation.history import History
from router.estimation.kernel_ridge import KernelRidge


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was learned of a history; every choice by leave-one-out.

    Attributes:
        k: Number of neighbours.
        doubt: Shrinkage of their mean residual, see `estimator.DOUBTS`.
        missed: float32[H, M], leave-one-out residuals of the ridge's scores, NaN where unknown.
        ridge: Predicts [2M] scores and logarithms of costs.
        mean_factor: float64[M], from exp of an estimated logarithm to the mean (Duan 1983).
        features: Of texts; None where there were none.
        usual: The features of a query whose text is not known.
        rows: int64[r], an even sample of the history.
        others: float32[r, 2M], leave-one-out predictions of those rows.
        means: float64[M], mean estimated scores over those rows.
        trust: What differences between models beyond `means` are multiplied by, see `trust.py`.
    """

    k: int
    doubt: float
    missed: Vectors
    ridge: KernelRidge
    mean_factor: Floats
    features: TextFeatures | None
    usual: TextVectors
    rows: Ints
    others: Vectors
    means: Floats
    trust: float = 1.0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all learned arrays by name."""
        arrays: dict[str, NDArray[Any]] = {
            "k": np.array(self.k),
            "doubt": np.array(self.doubt),
            "missed": self.missed,
            "mean_factor": self.mean_factor,
            "usual_words": self.usual.words,
            "usual_shape": self.usual.shape,
            "rows": self.rows,
            "others": self.others,
            "means": self.means,
            "trust": np.array(self.trust),
        }
        arrays |= {f"ridge_{name}": value for name, value in self.ridge.arrays().items()}
        if self.features is not None:
            features = self.features.arrays()
            arrays |= {f"text_{name}": value for name, value in features.items()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], history: History) -> Self:
        """Rebuild what `arrays()` came from.

        Arrays of a version without `means` and `trust` are taken at full trust.

        Raises:
            ValueError: An array is missing, or they are not of this history.
        """
        try:
            fitted = cls(
                k=int(arrays["k"]),
                doubt=float(arrays["doubt"]),
                missed=arrays["missed"],
                ridge=KernelRidge.from_arrays(_under(arrays, "ridge_")),
                mean_factor=arrays["mean_factor"],
                features=TextFeatures.from_arrays(_under(arrays, "text_"))
                if "text_words" in arrays
                else None,
                usual=TextVectors(arrays["usual_words"], arrays["usual_shape"]),
                rows=arrays["rows"],
                others=arrays["others"],
                means=arrays.get("means", np.zeros(len(arrays["mean_factor"]))),
                trust=float(arrays.get("trust", 1.0)),
            )
        except KeyError as error:
            raise ValueError(f"the estimator's file lacks {error}; build the index again") from None
        models = history.scores.shape[1]
        if (
            fitted.missed.shape != history.scores.shape
            or fitted.others.shape != (len(fitted.rows), 2 * models)
            or not (fitted.rows < len(history)).all()
        ):
            raise ValueError(
                f"the estimator's file is not of a history of {len(history)} rows and {models} "
                "models; build the index again"
            )
        return fitted


def _under(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }
