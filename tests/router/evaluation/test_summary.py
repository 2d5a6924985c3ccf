"""Rows of many seeds and orders, drawn together."""

from __future__ import annotations

import numpy as np
import pytest

from router.evaluation.experiment import Setting, compare
from router.evaluation.summary import summarise
from tests.support.outcomes import ground


def test_summary_means_over_seeds_and_orders() -> None:
    """Repetitions of a cell become one line with mean and spread."""
    rows = [
        row
        for order in range(3)
        for row, _, _ in compare(ground(), Setting(order=order), ["random"])
    ]
    line = summarise(rows)[-1]
    found = [row.relative for row in rows if row.policy == "random"]
    assert line.policy == "random"
    assert line.runs == 3
    assert line.relative == pytest.approx(np.mean(found))
    assert line.spread == pytest.approx(np.std(found))
