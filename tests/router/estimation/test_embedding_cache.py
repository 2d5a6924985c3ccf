"""A cache of embeddings: each text is embedded once, whatever happened to the run before."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from router.arrays import Vectors
from router.estimation.embedders import Embedder, EmbeddingError
from router.estimation.embedders.cache import CachedEmbedder
from router.estimation.embedders.wordllama import WordLlamaEmbedder


class Counting(Embedder):
    """Remembers what it was asked to embed; fails on the text "fail"."""

    name, dimension = "counting", 4

    def __init__(self) -> None:
        self.asked: list[str] = []

    def _embed(self, texts: list[str]) -> Vectors:
        if "fail" in texts:
            raise EmbeddingError("failed")
        self.asked += texts
        return np.array([[len(text), 1, 2, 3] for text in texts], dtype=np.float32)


def test_each_text_is_embedded_once(tmp_path: Path) -> None:
    """A second run, and a text given twice, ask nothing of the inner embedder."""
    path = tmp_path / "new" / "vectors.sqlite"
    first, second = Counting(), Counting()
    vectors = CachedEmbedder(first, path).encode(["a", "bb", "a"])
    assert first.asked == ["a", "bb"]
    again = CachedEmbedder(second, path).encode(["bb", "a", "ccc"])
    assert second.asked == ["ccc"]
    np.testing.assert_array_equal(vectors, again[[1, 0, 1]])


def test_another_embedder_has_other_vectors(tmp_path: Path) -> None:
    """One file may serve several embedders."""
    path, wordllama = tmp_path / "vectors.sqlite", WordLlamaEmbedder()
    CachedEmbedder(Counting(), path).encode(["a"])
    vectors = CachedEmbedder(wordllama, path).encode(["a"])
    np.testing.assert_allclose(vectors, wordllama.encode(["a"]), atol=1e-6)


def test_failure_keeps_what_was_done(tmp_path: Path) -> None:
    """Blocks that were embedded before a failure are not embedded again."""
    inner, path = Counting(), tmp_path / "vectors.sqlite"
    texts = [f"{i}" for i in range(256)]
    with pytest.raises(EmbeddingError):
        CachedEmbedder(inner, path).encode([*texts, "fail"])
    inner.asked.clear()
    CachedEmbedder(inner, path).encode([*texts, "new"])
    assert inner.asked == ["new"]


def test_short_row_counts_as_missing(tmp_path: Path) -> None:
    """A row of the wrong size is embedded again and mended."""
    inner, path = Counting(), tmp_path / "vectors.sqlite"
    expected = CachedEmbedder(inner, path).encode(["a"])
    with sqlite3.connect(path) as file:
        file.execute("UPDATE vectors SET vector = x'0011'")
    file.close()
    inner.asked.clear()
    for _ in range(2):
        np.testing.assert_array_equal(CachedEmbedder(inner, path).encode(["a"]), expected)
    assert inner.asked == ["a"]


def test_file_that_is_no_cache(tmp_path: Path) -> None:
    """Another file is refused by name and left as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database at all, but a text that is long enough" * 20)
    before = path.read_bytes()
    with pytest.raises(EmbeddingError, match=r"notes\.txt cannot be used as a cache"):
        CachedEmbedder(Counting(), path)
    assert path.read_bytes() == before
