"""Embedders: wordllama (default), sentence-transformers, http, given; and a cache around any."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from router.estimation.embedders.base import Embedder, EmbeddingError, unit

__all__ = ["KINDS", "Embedder", "EmbeddingError", "make_embedder", "unit"]

KINDS = {
    "wordllama": "WordLlamaEmbedder",
    "sentence-transformers": "SentenceTransformersEmbedder",
    "http": "HttpEmbedder",
    "given": "GivenEmbedder",
}


def make_embedder(kind: str = "wordllama", **settings: Any) -> Embedder:
    """The embedder of that kind with its constructor's settings.

    Raises ValueError for an unknown kind or setting, or one that is missing. A kind's own
    libraries are imported only here.
    """
    if kind not in KINDS:
        raise ValueError(f"no embedder {kind!r}; there are: {', '.join(KINDS)}")
    module = import_module(f"router.estimation.embedders.{kind.replace('-', '_')}")
    build = getattr(module, KINDS[kind])
    try:
        inspect.signature(build).bind(**settings)
    except TypeError as error:
        takes = ", ".join(inspect.signature(build).parameters)
        raise ValueError(f"embedder {kind!r}: {error}; its settings are: {takes}") from error
    embedder: Embedder = build(**settings)
    return embedder
