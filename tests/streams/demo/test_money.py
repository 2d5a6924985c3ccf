"""How a demo's money is limited: the same amount, whichever way."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from streams.demo import demo, money
from streams.demo.demo import DemoOptions
from streams.demo.money import Limiting

KINDS: list[Limiting] = list(get_args(Limiting))


@pytest.mark.parametrize("limiting", KINDS)
def test_all_ways_limit_the_same_money(limiting: Limiting, tmp_path: Path) -> None:
    """The configuration loads, and its limits are those of the offline runs."""
    options = DemoOptions(None, 40, None, 1, 2, 75.0, 0, None, limiting=limiting, money=2.0)
    data, setting = demo._workload(options)
    config = demo._prepare(options, tmp_path, data, setting, {"SLUICE_BROKER": "127.0.0.1:9"})
    amounts, problem = config.amounts(), data.problem(setting)
    paying = money.paying(limiting, list(config.models))
    cheapest = 40 * data.queries.costs.mean(axis=0).min()
    assert sum(amounts[name] for name in paying) == pytest.approx(2 * cheapest, abs=20)
    offline = dict(zip(problem.coverage.names, problem.limits.tolist(), strict=True))
    assert offline.items() <= amounts.items()
    assert len(config.limit_set().limits) == {"models": 11, "shared": 1, "overlapping": 4}[limiting]


def test_the_provider_is_the_dearer_half() -> None:
    """By the history's means, in the order of the models."""
    data, _ = demo._workload(DemoOptions(None, 40, None, 1, 2, 75.0, 0, None))
    dear = money.dearer_half(data)
    means = dict(zip(data.history.models, data.history.costs.mean(axis=0), strict=True))
    assert len(dear) == 6
    rest = [name for name in means if name not in dear]
    assert max(means[name] for name in rest) <= min(means[name] for name in dear)
    assert money.dollars(1_500_000_000) == "1.500000000"
