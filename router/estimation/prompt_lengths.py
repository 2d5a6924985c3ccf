"""How many tokens prompts probably have, by what usage has taught of models and kinds of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from router.arrays import Floats, Ints
from router.estimation.token_ratio import category
from schemas.content import TEXT_KINDS


class PromptLengths:
    """Counts the tokens of texts by their bytes. An instance is not changed after construction."""

    def __init__(self, ratios: Mapping[str, float], models: Sequence[str]) -> None:
        """Args:
        ratios: Bytes per token as learned, by model and kind of text (`token_ratio.category`).
        models: Names of the M models.
        """
        self.ratios = dict(ratios)
        rows = [[ratios.get(category(model, kind), 0.0) for model in models] for kind in TEXT_KINDS]
        self._bytes_per_token: Floats = np.array(rows, dtype=np.float64)

    def tokens(self, sizes: Ints, kinds: Ints, otherwise: Ints) -> Ints:
        """Return the tokens that texts probably have at most.

        Args:
            sizes: int64[n], their bytes.
            kinds: int64[n], their kinds, as numbers of `TEXT_KINDS`.
            otherwise: int64[n], the tokens where nothing was learned.

        Returns:
            int64[n, M], or int64[n, 1] where they are the same for all models.
        """
        if not self.ratios:
            return otherwise[:, None]
        ratio = self._bytes_per_token[kinds]
        learned = np.ceil(sizes[:, None] / np.where(ratio > 0, ratio, 1.0)).astype(np.int64)
        return np.where(ratio > 0, learned, otherwise[:, None])
