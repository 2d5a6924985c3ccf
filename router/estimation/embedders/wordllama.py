"""The default embedder: WordLlama's static token vectors, whose weights are inside its wheel.

A text's vector is the mean of its tokens' vectors. As only the direction counts, the mean is a
sum: one sparse product (texts x tokens) @ (tokens x dimension), with no padding to pool over.
"""

from __future__ import annotations

import logging
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from router.arrays import Vectors
from router.estimation.embedders.base import Embedder
from router.estimation.sparse import SparseRows

BLOCK = 512
"""Texts tokenised at once: enough for all cores, few enough to keep their tokens small."""


class WordLlamaEmbedder(Embedder):
    """`l2_supercat` with 256 dimensions; works offline, thousands of texts a second on a CPU."""

    immediate = True

    def __init__(self, max_characters: int = 8192) -> None:
        """Load weights and tokenizer from the installed package (16 MB, 0.4 s)."""
        loaded = load_package()
        self._tokenizer = loaded.tokenizer
        # Settings of the tokenizer are changed here only: encoding in several threads is safe.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._table: Vectors = np.ascontiguousarray(loaded.embedding, dtype=np.float32)
        self.dimension = int(self._table.shape[1])
        self.name = f"wordllama/l2_supercat/{self.dimension}"
        self.max_characters = max_characters

    def _embed(self, texts: list[str]) -> Vectors:
        blocks = [self._pool(texts[i : i + BLOCK]) for i in range(0, len(texts), BLOCK)]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def _pool(self, texts: list[str]) -> Vectors:
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ids = [encoding.ids for encoding in encodings]
        ends = np.zeros(len(ids) + 1, dtype=np.int32)
        np.cumsum([len(row) for row in ids], out=ends[1:])
        columns = np.fromiter(chain.from_iterable(ids), dtype=np.int32, count=ends[-1])
        ones = np.ones(len(columns), dtype=np.float32)
        return SparseRows(ones, columns, ends, len(self._table)).times(self._table)


def load_package() -> Any:
    """The package's own `WordLlamaInference`, from files inside the package alone.

    wordllama calls `logging.basicConfig` when imported, which does nothing while the root logger
    has a handler.
    """
    root, keeper = logging.getLogger(), logging.NullHandler()
    root.addHandler(keeper)
    try:
        import wordllama
    finally:
        root.removeHandler(keeper)
    # `load` looks for the tokenizer below cache_dir, which must be the package itself.
    folder = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
