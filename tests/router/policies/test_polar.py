"""Which adapters are resident, and which of all answers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from router.policies.linucb import LinUcb
from router.policies.polar import Polar, cover

GOOD = (3, 4)
"""Adapters of five that answer the two kinds of queries well."""


def ask(polar: Polar, queries: int) -> list[tuple[int, int]]:
    """Ask queries of two kinds in turn; return kind and adapter of each."""
    asked = []
    for number in range(queries):
        kind = number % 2
        x = np.array([1.0, 0.0]) if kind == 0 else np.array([0.0, 1.0])
        adapter = polar.choose(x)
        polar.learn(adapter, x, 1.0 if adapter == GOOD[kind] else 0.2)
        asked.append((kind, adapter))
    return asked


def test_the_set_covers_all_queries() -> None:
    """Not the two best on average: the second adds nothing where the first is good."""
    score = np.array([[0.9, 0.8, 0.0], [0.9, 0.8, 0.0], [0.0, 0.0, 0.6]])
    assert_array_equal(cover(score, 2), [0, 2])
    assert sorted(cover(score, 3).tolist()) == [0, 1, 2]


def test_the_bound_narrows_to_the_true_score() -> None:
    """An unknown model may be as good as any."""
    bandit, x = LinUcb(2, 2), np.array([1.0, 0.0])
    before = bandit.upper(x)
    for _ in range(1_000):
        bandit.learn(0, x, 0.7)
    assert bandit.upper(x)[0] == pytest.approx(0.7, abs=0.02)
    assert bandit.upper(x)[1] == before[1]


def test_the_best_adapters_become_resident() -> None:
    """And answer; what is loaded later is for exploring."""
    polar = Polar(adapters=5, dimension=2, resident=2, load=0.1)
    ask(polar, 4_000)
    assert sorted(np.flatnonzero(polar.resident).tolist()) == list(GOOD)
    last = ask(polar, 500)
    assert np.mean([adapter == GOOD[kind] for kind, adapter in last]) > 0.9


def test_loading_is_paid_for_what_it_brings() -> None:
    """A dear load is not worth a better answer, a cheap one is."""
    loads = {}
    for price in (0.01, 2.0):
        polar = Polar(adapters=5, dimension=2, resident=1, load=price)
        ask(polar, 4_000)
        loads[price] = polar.loads
    assert loads[2.0] < 300
    assert loads[0.01] > 1_500
