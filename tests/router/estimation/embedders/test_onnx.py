"""A small BERT model of random weights through ONNX Runtime, against the same in numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from router.arrays import Floats
from router.estimation.embedders import EmbeddingError, make_embedder

CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "layer_norm_eps": 1e-12,
}
TEXTS = ["how many apples", "write a function", "apples", "a a a a a a a a"]
WORDS = ("[UNK]", "how", "many", "apples", "write", "a", "function")


def weights() -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(WORDS), 32),
        "embeddings.position_embeddings.weight": (16, 32),
        "embeddings.token_type_embeddings.weight": (2, 32),
    }
    for layer in range(2):
        key = f"encoder.layer.{layer}."
        for name, size in (
            ("attention.self.query", (32, 32)),
            ("attention.self.key", (32, 32)),
            ("attention.self.value", (32, 32)),
            ("attention.output.dense", (32, 32)),
            ("intermediate.dense", (64, 32)),
            ("output.dense", (32, 64)),
        ):
            shapes |= {f"{key}{name}.weight": size, f"{key}{name}.bias": size[:1]}
    made = {name: random.normal(size=shape) for name, shape in shapes.items()}
    norms = ["embeddings.LayerNorm"]
    for layer in range(2):
        norms += [f"encoder.layer.{layer}.{part}output.LayerNorm" for part in ("attention.", "")]
    for norm in norms:
        made |= {f"{norm}.weight": np.ones(32), f"{norm}.bias": np.zeros(32)}
    return {name: values.astype(np.float32) for name, values in made.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's files; the cache folder stands beside them."""
    for library in ("onnx", "onnxruntime"):
        pytest.importorskip(library)
    tokenizers = pytest.importorskip("tokenizers")
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path_factory.mktemp("models") / "small"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG), "utf-8")
    safetensors.save_file(weights(), path / "model.safetensors")
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(path / "tokenizer.json"))
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_CACHE", str(tmp_path / "cache"))


def by_hand(text: str) -> Floats:
    """The same model in float64."""
    w = {name: values.astype(np.float64) for name, values in weights().items()}

    def linear(x: Floats, key: str) -> Floats:
        found: Floats = x @ w[f"{key}.weight"].T + w[f"{key}.bias"]
        return found

    def norm(x: Floats) -> Floats:
        centred = x - x.mean(axis=1, keepdims=True)
        found: Floats = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-12)
        return found

    def gelu(x: Floats) -> Floats:
        special = pytest.importorskip("scipy.special")
        found: Floats = 0.5 * x * (1 + special.erf(x / np.sqrt(2)))
        return found

    ids = [WORDS.index(word) for word in text.split()]
    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0])
    for layer in range(2):
        key = f"encoder.layer.{layer}."
        query, keys, value = (
            linear(x, f"{key}attention.self.{name}").reshape(-1, 4, 8).transpose(1, 0, 2)
            for name in ("query", "key", "value")
        )
        scores = query @ keys.transpose(0, 2, 1) / np.sqrt(8)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ value
        joined = mixed.transpose(1, 0, 2).reshape(-1, 32)
        x = norm(x + linear(joined, f"{key}attention.output.dense"))
        wide = gelu(linear(x, f"{key}intermediate.dense"))
        x = norm(x + linear(wide, f"{key}output.dense"))
    vector: Floats = x.mean(axis=0)
    return vector / np.linalg.norm(vector)


def test_near_the_whole_model(folder: Path) -> None:
    """Eight bits turn a vector by little."""
    vectors = make_embedder("onnx", model=str(folder)).encode(TEXTS)
    expected = np.stack([by_hand(text) for text in TEXTS])
    assert vectors.shape == (4, 32)
    assert ((vectors * expected).sum(axis=1) > 0.97).all()


def test_a_vector_depends_on_its_text_alone(folder: Path) -> None:
    """To the bit, whatever texts stand beside it, and from an instance made again."""
    embedder, again = (make_embedder("onnx", model=str(folder)) for _ in range(2))
    together = embedder.encode(TEXTS)
    for row, text in enumerate(TEXTS):
        assert_array_equal(again.encode([text])[0], together[row])
    assert embedder.name == again.name


def test_beside_wordllama(folder: Path) -> None:
    """Both vectors, of equal weight, and a name that says so."""
    alone = make_embedder("onnx", model=str(folder))
    both = make_embedder("onnx", model=str(folder), beside_wordllama=True)
    words = make_embedder("wordllama")
    vectors = both.encode(TEXTS)
    assert both.dimension == alone.dimension + words.dimension
    half = words.dimension
    assert_allclose(vectors[:, :half] * np.sqrt(2), words.encode(TEXTS), atol=1e-5)
    assert_allclose(vectors[:, half:] * np.sqrt(2), alone.encode(TEXTS), atol=1e-5)
    assert words.name in both.name
    assert alone.name in both.name


@pytest.mark.parametrize(
    ("change", "words"),
    [({"model_type": "mpnet"}, "not a BERT"), ({"num_hidden_layers": 3}, "cannot be built")],
)
def test_another_kind_of_model_is_refused(
    folder: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    """The message says what was expected."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | change), "utf-8")
    with pytest.raises(EmbeddingError, match=words):
        make_embedder("onnx", model=str(tmp_path))


def test_a_folder_without_a_model_is_refused(folder: Path, tmp_path: Path) -> None:
    """The message names the file that is missing."""
    with pytest.raises(EmbeddingError, match=r"config\.json is missing"):
        make_embedder("onnx", model=str(tmp_path))


def test_without_the_extra_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where it was not installed."""
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(EmbeddingError, match=r"pip install 'sluice-llm\[onnx\]'"):
        make_embedder("onnx")
