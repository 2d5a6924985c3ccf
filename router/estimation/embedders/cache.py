"""Vectors kept on disk, so that an evaluation embeds each text once. Not for the live router:
the file grows without end."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

from router.arrays import Vectors
from router.estimation.embedders.base import Embedder, EmbeddingError

BLOCK = 256
"""Texts embedded between two commits: what an interrupted run loses at most."""


class CachedEmbedder(Embedder):
    """Another embedder behind a SQLite file, keyed by a hash of the embedder's name and the text.

    SQLite's journal makes a write whole or absent whenever the process dies, and lets several
    processes share the file. A row of the wrong size counts as missing.
    """

    def __init__(self, inner: Embedder, path: Path) -> None:
        """Keep `inner`'s vectors in the file `path`, made where it is missing.

        Raises EmbeddingError where the file is no such cache.
        """
        self._inner = inner
        self._path = path
        self.name, self.dimension = inner.name, inner.dimension
        self.max_characters = inner.max_characters
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(self._open()) as cache, cache:
                cache.execute(
                    "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB)"
                )
                cache.execute("SELECT key, vector FROM vectors LIMIT 1")
        except sqlite3.Error as error:
            raise EmbeddingError(
                f"{path} cannot be used as a cache of embeddings ({error}): delete it, or name "
                "another file"
            ) from error

    def _embed(self, texts: list[str]) -> Vectors:
        keys = [hashlib.sha256(f"{self.name}\0{text}".encode()).digest() for text in texts]
        wanted = dict(zip(keys, texts, strict=True))
        with closing(self._open()) as cache:
            known = self._read(cache, list(wanted))
            missing = [key for key in wanted if key not in known]
            for start in range(0, len(missing), BLOCK):
                block = missing[start : start + BLOCK]
                vectors = self._inner.encode([wanted[key] for key in block])
                known.update(zip(block, vectors, strict=True))
                with cache:
                    cache.executemany(
                        "INSERT OR REPLACE INTO vectors VALUES (?, ?)",
                        [(key, known[key].astype("<f4").tobytes()) for key in block],
                    )
        return np.stack([known[key] for key in keys])

    def _read(self, cache: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, Vectors]:
        size = 4 * self.dimension
        found: dict[bytes, Vectors] = {}
        for key in keys:
            row = cache.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
            if row is not None and isinstance(row[0], bytes) and len(row[0]) == size:
                found[key] = np.frombuffer(row[0], dtype="<f4")
        return found

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=60)
