"""Names for the array types that cross module borders. n: queries, M: models, k: neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""Estimates, scores, prices."""
Vectors = NDArray[np.float32]
"""Embeddings, one unit-norm row a text."""
Ints = NDArray[np.int64]
"""Amounts in nano-units, token counts, row numbers."""
Bools = NDArray[np.bool_]
