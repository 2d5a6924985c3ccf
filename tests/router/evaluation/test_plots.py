"""Plots as SVG text that is the same for the same figures."""

from __future__ import annotations

import pytest

from router.evaluation.experiment import Setting, compare
from router.evaluation.summary import summarise
from tests.support.outcomes import ground

pytest.importorskip("matplotlib")
from router.evaluation import plots


def test_every_plot_is_one_svg_and_repeats() -> None:
    """Budgets, prices, and performance against an axis."""
    shown = list(compare(ground(), Setting(), ["primal-dual"]))
    lines = summarise(row for row, _, _ in shown)
    row, run, problem = shown[-1]

    def drawn() -> list[str]:
        return [
            plots.budget_use([row]),
            plots.prices(run, problem.catalog.names),
            plots.against(lines, "budget", "budget"),
        ]

    first = drawn()
    assert first == drawn()
    for svg in first:
        assert svg.count("<svg") == svg.count("</svg>") == 1
