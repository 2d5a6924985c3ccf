"""Datasets as JSON lines: what is written is read, what is wrong is told by line and field."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router.evaluation.datasets import DatasetError, joined, read_jsonl, write_jsonl
from router.evaluation.loaders import load
from tests.support.outcomes import outcomes


@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz"])
def test_json_lines_round_trip(tmp_path: Path, name: str) -> None:
    """What was written is read: plain and gzip, same data, same bytes."""
    data = outcomes(20)
    data.scores[3, 1] = data.costs[3, 1] = np.nan
    write_jsonl(data, tmp_path / name)
    again = load(str(tmp_path / name))
    assert (again.ids, again.tasks, again.prompts) == (data.ids, data.tasks, data.prompts)
    assert again.models == data.models
    assert np.array_equal(again.scores, data.scores, equal_nan=True)
    assert np.allclose(again.costs, data.costs, equal_nan=True)
    write_jsonl(data, tmp_path / ("again" + name))
    assert (tmp_path / name).read_bytes() == (tmp_path / ("again" + name)).read_bytes()


def test_tokens_are_kept(tmp_path: Path) -> None:
    """Where every line tells them; with rows, models and other datasets they go along."""
    data = replace(outcomes(20), tokens=np.arange(60.0).reshape(20, 3))
    write_jsonl(data, tmp_path / "data.jsonl")
    again = read_jsonl(tmp_path / "data.jsonl")
    assert again.tokens is not None
    assert again.tokens.tolist() == np.arange(60.0).reshape(20, 3).tolist()
    part = again.take(np.array([1])).with_models([data.models[2]])
    assert part.tokens is not None
    assert part.tokens.tolist() == [[5.0]]
    whole = joined([again.take(np.arange(9)), again.take(np.arange(9, 20))]).tokens
    assert whole is not None
    assert whole.tolist() == again.tokens.tolist()
    assert joined([again.take(np.arange(9)), outcomes(20)]).tokens is None


GOOD = {"id": "a", "task": "t", "prompt": "p", "scores": {"m": 1}, "cost_usd": {"m": 0.1}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": None}, "line 2: 'id' must be a string"),
        ({"id": "good"}, "line 2: id 'good' appears a second time"),
        ({"prompt": ""}, "line 2: 'prompt' must be a string with something in it"),
        ({"task": 7}, "'task' must be a string, this is a number"),
        ({"scores": {}}, "'scores' must be an object of model: number, this is an object that is"),
        ({"scores": {"m": 2}}, "scores.m is 2, must be 0 to 1"),
        ({"scores": {"m": True}}, "scores.m must be a number, is true or false"),
        ({"cost_usd": {"m": -1}}, "cost_usd.m is -1"),
        ({"cost_usd": {"n": 1}}, "must name the same models; only in one of them: m, n"),
    ],
)
def test_json_lines_say_what_is_wrong(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """File, line, field, value and rule."""
    path = tmp_path / "data.jsonl"
    lines = [GOOD | {"id": "good"}, GOOD | change]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    with pytest.raises(DatasetError) as caught:
        read_jsonl(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no queries in it"),
        (b"{", "line 1: not JSON"),
        (b"[1]", "a query is a JSON object, this is a list"),
        (gzip.compress(b"x" * 1000, mtime=0)[:-6], "broken gzip"),
        (b"{" + b" " * 17_000_000, "longer than"),
    ],
)
def test_files_that_are_no_json_lines(tmp_path: Path, content: bytes, message: str) -> None:
    """Broken files are named as such."""
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        load(str(path))


def test_split_is_a_partition_by_seed() -> None:
    """Every query is in exactly one part; seeds differ; the same seed repeats."""
    data = outcomes(100)
    history, queries = data.split(0.35, seed=1)
    assert (len(history), len(queries)) == (65, 35)
    assert sorted([*history.ids, *queries.ids]) == sorted(data.ids)
    assert data.split(0.35, seed=1)[1].ids == queries.ids
    assert data.split(0.35, seed=2)[1].ids != queries.ids
    with pytest.raises(ValueError, match="both must be at least 1"):
        data.split(0.0)


def test_recorded_fleet_counts_nano_dollars_as_tokens() -> None:
    """A token costs one nano-dollar, so that no recorded answer is longer than the model allows."""
    data = outcomes(30)
    catalog = data.catalog()
    tokens = np.ceil(data.costs).astype(np.int64)
    assert (catalog.cost(np.zeros((30, 1), dtype=np.int64), tokens) == tokens).all()
    assert (tokens <= catalog.max_output_tokens).all()


def test_joined_datasets() -> None:
    """Models of all, outcomes where they were, and of an id that comes twice the last line."""
    one = outcomes(20)
    other = one.take(np.arange(15, 20)).with_models(one.models[::-1][:2])
    other.scores[:] = 0.25
    whole = joined([one, other])
    assert whole.ids == one.ids
    assert whole.models == one.models
    assert np.array_equal(whole.scores[:15], one.scores[:15])
    assert (whole.scores[15:, 1:] == 0.25).all()
    assert np.isnan(whole.scores[15:, 0]).all()
    assert np.isnan(whole.costs[15:, 0]).all()
    assert joined([one]).ids == one.ids
