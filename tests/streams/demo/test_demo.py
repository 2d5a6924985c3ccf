"""What a demo prepares. (Whole demos run in tests/e2e.)"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from router.evaluation.datasets import read_jsonl
from streams.demo import demo
from streams.demo.children import Children
from streams.demo.demo import DemoError, DemoOptions

OPTIONS = DemoOptions(None, 20, None, 1, 2, 75.0, 0, None)


def test_files(tmp_path: Path) -> None:
    """A configuration that loads, with the evaluation's budgets, and the data in two parts."""
    data, setting = demo._workload(OPTIONS)
    environment = {"SLUICE_BROKER": "127.0.0.1:9"}
    config = demo._prepare(OPTIONS, tmp_path, data, setting, environment)
    assert config.broker.servers == "127.0.0.1:9"
    assert config.topics.partitions == 2
    assert config.router.store == "memory"
    assert list(config.amounts().values()) == data.problem(setting).limits.tolist()
    assert list(read_jsonl(tmp_path / "queries.jsonl.gz").ids) == list(data.queries.ids)
    assert list(read_jsonl(tmp_path / "history.jsonl.gz").ids) == list(data.history.ids)
    assert not set(data.queries.ids) & set(data.history.ids)


def test_prefixes_differ(tmp_path: Path) -> None:
    """Two demos on one broker do not meet."""
    data, setting = demo._workload(OPTIONS)
    prefixes = {demo._prepare(OPTIONS, tmp_path, data, setting, {}).topics.prefix for _ in range(2)}
    assert len(prefixes) == 2


def test_what_does_not_come_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what was awaited."""

    class Still:
        def poll(self, seconds: float) -> None:
            """Nothing comes."""

    monkeypatch.setattr(demo, "READY", 0.0)
    progress: Any = Still()
    with (
        Children(tmp_path, {}) as children,
        pytest.raises(DemoError, match="for the routers to join"),
    ):
        demo._wait(lambda: False, children, progress, "the routers to join")
