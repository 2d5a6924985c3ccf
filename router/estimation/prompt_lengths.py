"""How many tokens prompts have, by what usage has taught of models, kinds of text, and images."""

from __future__ import annotations

import numpy as np

from router.arrays import Floats, Ints
from router.estimation.observed import Observed
from router.estimation.token_ratio import category
from router.models.catalog import ModelCatalog
from schemas.content import TEXT_KINDS


class PromptLengths:
    """Counts the tokens of texts by their bytes. An instance is not changed after construction."""

    def __init__(self, observed: Observed, catalog: ModelCatalog) -> None:
        """Args:
        observed: What usage has taught.
        catalog: The M models.
        """
        self._has_ratios = bool(observed.ratios)
        models = catalog.names
        rows = [
            [observed.ratios.get(category(model, kind), 0.0) for model in models]
            for kind in TEXT_KINDS
        ]
        self._bytes_per_token: Floats = np.array(rows, dtype=np.float64)
        self._audio_tokens = catalog.audio_tokens
        self.image_tokens: Ints = catalog.image_tokens.copy()
        """int64[M], reserved for each image."""
        for name, image in observed.images.items():
            number = catalog.index.get(name)
            if number is not None and image.declared == self.image_tokens[number]:
                self.image_tokens[number] = max(image.tokens, image.declared)

    def tokens(self, sizes: Ints, kinds: Ints, otherwise: Ints) -> Ints:
        """Return the tokens that texts probably have at most.

        Args:
            sizes: int64[n], their bytes.
            kinds: int64[n], their kinds, as numbers of `TEXT_KINDS`.
            otherwise: int64[n], the tokens where nothing was learned.

        Returns:
            int64[n, M], or int64[n, 1] where they are the same for all models.
        """
        if not self._has_ratios:
            return otherwise[:, None]
        ratio = self._bytes_per_token[kinds]
        learned = np.ceil(sizes[:, None] / np.where(ratio > 0, ratio, 1.0)).astype(np.int64)
        return np.where(ratio > 0, learned, otherwise[:, None])

    def media_tokens(self, images: Ints, audio: Ints) -> Ints:
        """Return the prompt tokens of images and audio parts, int64[n, M].

        Args:
            images: int64[n], the number of images of each query.
            audio: int64[n], the number of audio parts.
        """
        tokens: Ints = images[:, None] * self.image_tokens + audio[:, None] * self._audio_tokens
        return tokens
