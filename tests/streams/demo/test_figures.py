"""A demo's summary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from streams.demo.demo import DemoOptions
from streams.demo.figures import Figures, ModelSpending, PolicyFigures, as_json

POLICY = PolicyFigures("primal-dual", 98.0, 40.0, 2 * 10**9, 50, 3, 0, 1)
FIGURES = Figures(
    ran=POLICY,
    offline=replace(POLICY, score=41.0),
    others=[replace(POLICY, name="random", cost=0)],
    accounts=[ModelSpending("small", 70, 100, 30), ModelSpending("large", 71, 100, 30)],
    p50=0.01,
    p99=0.05,
    seconds=10.0,
    twice=0,
)
OPTIONS = DemoOptions(None, 100, None, 1, 3, 75.0, 0, None)


def test_score_per_dollar() -> None:
    """0 where nothing was spent."""
    assert POLICY.per_dollar == 20.0
    assert replace(POLICY, cost=0).per_dollar == 0.0


def test_over_limit() -> None:
    """Spent and reserved count together; exactly the limit is allowed."""
    assert FIGURES.over_limit == ["large"]


def test_json() -> None:
    """Plain values under stable names."""
    values = as_json(OPTIONS, FIGURES)
    assert values["synthetic"] is True
    assert values["settings"]["rate"] == 75.0
    assert values["decision_latency_seconds"] == {"p50": 0.01, "p99": 0.05}
    assert values["as_it_ran"]["per_dollar"] == 20.0
    assert values["offline"]["score"] == 41.0
    assert [one["name"] for one in values["others"]] == ["random"]
    assert values["models"][0] == {"model": "small", "spent": 70, "limit": 100, "reserved": 30}
    assert (values["twice"], values["over_limit"]) == (0, ["large"])
    named = as_json(replace(OPTIONS, dataset=Path("a.jsonl")), FIGURES)
    assert named["synthetic"] is False
    assert named["settings"]["dataset"] == "a.jsonl"
