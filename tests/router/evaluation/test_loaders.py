"""Loaders: each published layout becomes the same Dataset, and nothing in a file is ever run."""

from __future__ import annotations

import json
import os
import pickle
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.evaluation.datasets import DatasetError, write_jsonl
from router.evaluation.loaders import hub, load, wide
from router.evaluation.loaders.pickles import read_table
from tests.support.outcomes import outcomes
from tests.support.pandas_pickle import table

ROUTERBENCH: dict[str, list[Any]] = {
    "sample_id": ["mmlu.1", "mbpp.2", "mmlu.3"],
    "prompt": ["['Why?\\nSay é.']", "[\"it's\", 'two turns']", "plain"],
    "eval_name": ["mmlu", "mbpp", "mmlu"],
    "WizardLM/WizardLM-13B-V1.2": [0.0, 1.0, 0.5],
    "gpt-4-1106-preview": [1.0, 1.0, float("nan")],
    "WizardLM/WizardLM-13B-V1.2|model_response": ["a", "b", "c"],
    "gpt-4-1106-preview|model_response": ["a", "b", "c"],
    "WizardLM/WizardLM-13B-V1.2|total_cost": [1e-5, 2e-5, 3e-5],
    "gpt-4-1106-preview|total_cost": [1e-3, 2e-3, 3e-3],
    "oracle_model_to_route_to": ["gpt-4-1106-preview", "no_model_correct", "x"],
}


def check_routerbench(path: Path) -> None:
    data = load(str(path))
    assert data.models == ("WizardLM/WizardLM-13B-V1.2", "gpt-4-1106-preview")
    assert data.ids == ["mmlu.1", "mbpp.2", "mmlu.3"]
    assert data.tasks == ["mmlu", "mbpp", "mmlu"]
    assert data.prompts == ["Why?\nSay é.", "it's\ntwo turns", "plain"]
    assert np.array_equal(data.scores, np.array([[0, 1], [1, 1], [0.5, np.nan]]), equal_nan=True)
    assert data.costs == pytest.approx(np.array([[1e4, 1e6], [2e4, 2e6], [3e4, 3e6]]))


# RouterBench


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_routerbench_pickle(tmp_path: Path, protocol: int) -> None:
    """The published layout is read, whatever the protocol."""
    path = tmp_path / "routerbench_0shot.pkl"
    path.write_bytes(table(ROUTERBENCH, protocol))
    check_routerbench(path)


def test_routerbench_parquet(tmp_path: Path) -> None:
    """The same as parquet."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table(ROUTERBENCH), tmp_path / "routerbench.parquet")
    check_routerbench(tmp_path / "routerbench.parquet")


def test_pandas_itself_agrees(tmp_path: Path) -> None:
    """Where pandas is installed, its own file is read too."""
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame(ROUTERBENCH).to_pickle(tmp_path / "real.pkl")
    check_routerbench(tmp_path / "real.pkl")


class Evil:
    """Unpickles as a call that would leave a trace."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
@pytest.mark.parametrize("function", [os.mkdir, exec, eval, print])
def test_pickles_that_call_are_refused_and_not_run(
    tmp_path: Path, protocol: int, function: Any
) -> None:
    """The file is refused by the name of what it wanted, which did not happen."""
    trace = tmp_path / "trace"
    argument = str(trace) if function is os.mkdir else f"open({str(trace)!r}, 'w')"
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(Evil(function, argument), protocol=protocol))
    with pytest.raises(DatasetError):
        load(str(path))
    assert not trace.exists()


def test_refusal_names_the_call() -> None:
    """A person can see what the file was up to."""
    with pytest.raises(DatasetError, match="mkdir, which a table has no need of; it was not run"):
        read_table(pickle.dumps(Evil(os.mkdir, "x"), protocol=4))


def test_calls_hidden_in_cells_are_refused() -> None:
    """Also deep in a table that is otherwise as it should be."""
    columns = ROUTERBENCH | {"eval_name": ["mmlu", Evil(os.mkdir, "x"), "mmlu"]}
    with pytest.raises(DatasetError, match="mkdir"):
        read_table(table(columns))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_politely(data: bytes) -> None:
    """Noise ends in DatasetError, never in another error."""
    with pytest.raises(DatasetError):
        read_table(data)


@given(st.data())
def test_damaged_tables_never_crash(data: st.DataObject) -> None:
    """A table with bytes cut or changed is read or refused."""
    good = bytearray(table(ROUTERBENCH))
    if data.draw(st.booleans()):
        good = good[: data.draw(st.integers(0, len(good)))]
    for _ in range(data.draw(st.integers(1, 3))):
        if good:
            good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with suppress(DatasetError):
        assert isinstance(read_table(bytes(good)), dict)


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x80\x04r\xff\xff\xff\x7f.",  # a memo of two thousand million places
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",  # a buffer of eight exabytes
        b"\x80\x04" + b"(" * 100_000 + b"t" * 100_000 + b".",
        b"\x80\x04" + b"]" * 50_000 + b"a" * 49_999 + b".",
    ],
)
def test_pickle_bombs_are_refused(bomb: bytes) -> None:
    """What would fill the memory or the stack of an unpickler does not."""
    with pytest.raises(DatasetError):
        read_table(bomb)


# SPROUT and Open LLM Leaderboard v2


def test_sprout_parquet(tmp_path: Path) -> None:
    """Structs a model; costs are tokens times its authors' prices; several files are one."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def answer(score: float, tokens_in: int, tokens_out: int) -> dict[str, Any]:
        return {
            "num_input_tokens": tokens_in,
            "num_output_tokens": tokens_out,
            "response": "long",
            "score": score,
        }

    for part in ("train", "test"):
        rows = {
            "key": [f"{part}-1"],
            "dataset": ["math"],
            "dataset_level": ["5"],
            "prompt": [f"{part} prompt"],
            "golden_answer": ["42"],
            "openai-gpt-4o": [answer(1.0, 1000, 200)],
            "wxai-llama-3-2-1b-instruct": [answer(0.25, 1000, 100)],
        }
        parquet.write_table(pa.table(rows), tmp_path / f"{part}-00000-of-00001.parquet")
    data = load(str(tmp_path))
    assert data.models == ("openai-gpt-4o", "wxai-llama-3-2-1b-instruct")
    assert data.ids == ["test-1", "train-1"]
    assert data.prompts == ["test prompt", "train prompt"]
    assert data.scores.tolist() == [[1.0, 0.25]] * 2
    assert data.costs[0] == pytest.approx([4.5e6, 66e3])


def test_leaderboard_folder(tmp_path: Path) -> None:
    """One folder a model; questions are matched; a task that a model has not done is unknown."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def write(model: str, task: str, rows: dict[str, list[Any]]) -> None:
        folder = tmp_path / f"{model}-details"
        folder.mkdir(exist_ok=True)
        parquet.write_table(pa.table(rows), folder / f"{task}.parquet")

    gpqa: dict[str, list[Any]] = {
        "doc_id": [0, 1],
        "doc_hash": ["h0", "h1"],
        "arguments": [[["q" * 400, " A"], ["q" * 400, " B"]], [["r" * 800, " A"]]],
        "resps": [[[["-1.5", "False"]]], [[["-0.5", "True"]]]],
        "acc_norm": [1.0, 0.0],
    }
    written: dict[str, list[Any]] = {
        "doc_id": [0],
        "doc_hash": ["h9"],
        "arguments": [{"gen_args_0": {"arg_0": "m" * 40, "arg_1": "until"}}],
        "resps": [[["x" * 80]]],
        "exact_match": [1],
    }
    write("maker__small", "gpqa", gpqa)
    write("maker__large", "gpqa", {k: v[::-1] for k, v in gpqa.items()} | {"acc_norm": [1.0, 1.0]})
    write("maker__large", "math", written)
    prices = {"maker/small": [1.0, 2.0], "maker/large": [10.0, 20.0]}
    (tmp_path / "prices.json").write_text(json.dumps(prices))

    data = load(str(tmp_path))
    assert data.models == ("maker/large", "maker/small")
    assert data.tasks == ["gpqa", "gpqa", "math"]
    assert [prompt[0] for prompt in data.prompts] == ["r", "q", "m"]
    expected = np.array([[1, 0], [1, 1], [1, np.nan]])
    assert np.array_equal(data.scores, expected, equal_nan=True)
    # 200 tokens at 10 dollars a million; 10 read and 20 written tokens.
    assert data.costs[0] == pytest.approx([2e6, 2e5])
    assert data.costs[2, 0] == pytest.approx(10 * 10e3 + 20 * 20e3)


def test_models_without_price_are_named(tmp_path: Path) -> None:
    """PORT's leaderboard table has no costs: without prices it says what to write where."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = {"prompt": ["p" * 40, "q" * 80], "maker/a": [True, False], "index": [0, 1]}
    parquet.write_table(pa.table(rows), tmp_path / "leaderboard.parquet")
    with pytest.raises(DatasetError, match=r"prices of maker/a; put a prices\.json beside it"):
        load(str(tmp_path / "leaderboard.parquet"))
    (tmp_path / "prices.json").write_text('{"maker/a": [1, 1]}')
    data = load(str(tmp_path / "leaderboard.parquet"))
    assert data.scores.tolist() == [[1.0], [0.0]]
    assert data.costs.tolist() == [[1e4], [2e4]]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a"]}, "no column 'prompt'"),
        ({"prompt": ["a"], "m|total_cost": [1.0]}, "costs but no scores of m"),
        ({"prompt": ["a"], "m": [3.0], "m|total_cost": [1.0]}, "scores must lie in 0..1"),
        ({"prompt": ["a"], "m": ["x"], "m|total_cost": [1.0]}, "more than numbers"),
        ({"prompt": ["a"], "m": [1.0], "m|total_cost": [-1.0]}, "must not be negative"),
    ],
)
def test_wide_tables_say_what_is_wrong(columns: dict[str, list[Any]], message: str) -> None:
    """Column and rule."""
    with pytest.raises(DatasetError, match=message):
        wide.dataset(columns, "here")


def test_ids_that_repeat_stay_apart() -> None:
    """A second mmlu.1 is mmlu.1#2."""
    assert wide.unique(["a", "b", "a", "a"]) == ["a", "b", "a#2", "a#3"]


def test_broken_parquet(tmp_path: Path) -> None:
    """Not a traceback from a library."""
    pytest.importorskip("pyarrow")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(DatasetError, match="cannot be read as parquet"):
        load(str(tmp_path / "x.parquet"))


# The hub


class Hub(SimpleHTTPRequestHandler):
    """Answers like the hub for one dataset, owner/small."""

    files: dict[str, bytes]
    asked: list[str]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        if path == "/api/datasets/owner/small/tree/main":
            entries = [
                {"type": "file", "path": name, "size": len(data)}
                for name, data in self.files.items()
            ]
            body = json.dumps([*entries, {"type": "directory", "path": "data"}]).encode()
        else:
            name = path.removeprefix("/datasets/owner/small/resolve/main/")
            if name not in self.files:
                self.send_error(404)
                return
            body = self.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    handler = type("OneHub", (Hub,), {"files": {}, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("SLUICE_CACHE", str(tmp_path / "cache"))
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


def test_hub_name_is_fetched_once(served: type[Hub], tmp_path: Path) -> None:
    """Data files only, kept in the cache."""
    write_jsonl(outcomes(5), tmp_path / "x.jsonl.gz")
    served.files = {"x.jsonl.gz": (tmp_path / "x.jsonl.gz").read_bytes(), "README.md": b"hello"}
    assert len(load("owner/small")) == 5
    asked = list(served.asked)
    assert not any("README" in path for path in asked)
    assert len(load("owner/small")) == 5
    assert served.asked == asked


def test_hub_that_does_not_answer(served: type[Hub]) -> None:
    """The message says what else to do."""
    with pytest.raises(DatasetError, match="fetch it by other means and name the path"):
        load("owner/unknown")


def test_hub_paths_stay_below_the_cache(served: type[Hub], tmp_path: Path) -> None:
    """A file named ../x is not taken."""
    served.files = {"../evil.parquet": b"x"}
    with pytest.raises(DatasetError, match="not taken"):
        load("owner/small")
    assert not list(tmp_path.rglob("evil.parquet"))


@pytest.mark.parametrize("name", ["a/b/c", "../x/y", "/abs/path", "x", "a b/c"])
def test_paths_are_no_hub_names(name: str) -> None:
    """A path that is missing is called missing, and no server is asked."""
    assert not hub.is_name(name)
    with pytest.raises(DatasetError, match="no such file"):
        load(name)
