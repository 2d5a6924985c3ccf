"""Plots as SVG text, by matplotlib (extra `report`). The same figures give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from router.evaluation.engine import Run
from router.evaluation.experiment import Row
from router.evaluation.frontier import OURS, Frontier
from router.evaluation.summary import Line

STYLE: Any = {
    "svg.hashsalt": "sluice",
    "svg.fonttype": "none",  # text stays text: small, searchable
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
MARKERS = "osD^vP*Xh<>8p"


def against(lines: Sequence[Line], axis: str, label: str) -> str:
    """Performance of each policy against one field of its cell ("budget" or "models")."""
    found: dict[str, dict[float, float]] = {}
    for line in lines:
        found.setdefault(line.policy, {})[getattr(line.cell, axis)] = line.performance
    return curves(found, label)


def curves(found: Mapping[str, Mapping[float, float]], label: str, title: str = "") -> str:
    """Performance of each policy at each point: one line a policy."""
    figure, plot = _figure(6.4, 3.8)
    for (policy, points), marker in zip(found.items(), cycle(MARKERS), strict=False):
        _draw(plot, policy, sorted(points.items()), marker)
    plot.set_title(title)
    plot.set_xlabel(label)
    plot.set_ylabel("performance (sum of scores)")
    plot.set_ylim(bottom=0)
    plot.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _svg(figure)


def frontier(found: Frontier) -> str:
    """Mean score against money on a logarithmic axis: a line a policy, a cross a single model."""
    figure, plot = _figure(8.4, 4.6)
    for (policy, curve), marker in zip(found.curves.items(), cycle(MARKERS), strict=False):
        _draw(plot, policy, curve, marker)
    for name, (money, score) in found.singles.items():
        plot.plot([money], [score], marker="x", color="0.3", markersize=5, linestyle="none")
        plot.annotate(
            _short(name),
            (money, score),
            (3, -3),
            textcoords="offset points",
            fontsize=6,
            color="0.3",
        )
    plot.set_xscale("log")
    plot.set_xlabel("money for all queries (dollars)")
    plot.set_ylabel("mean score a query")
    plot.set_ylim(bottom=0)
    plot.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _svg(figure)


def budget_use(rows: Sequence[Row]) -> str:
    """What part of each model's budget each policy spent: models down, policies across."""
    models = list(rows[0].limits)
    part = np.array(
        [[row.spent[name] / max(row.limits[name], 1) for row in rows] for name in models]
    )
    figure, plot = _figure(3.2 + 0.75 * len(rows), 1.0 + 0.22 * len(models))
    plot.pcolormesh(part, vmin=0, vmax=1, cmap="Blues", edgecolors="white", linewidth=1)
    for place, value in np.ndenumerate(part):
        plot.text(
            place[1] + 0.5,
            place[0] + 0.5,
            f"{value:.0%}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if value > 0.6 else "black",
        )
    plot.set_yticks(np.arange(len(models)) + 0.5, [_short(name) for name in models])
    plot.set_xticks(
        np.arange(len(rows)) + 0.5, [row.policy for row in rows], rotation=30, ha="left"
    )
    plot.xaxis.tick_top()
    plot.invert_yaxis()
    plot.grid(visible=False)
    plot.tick_params(length=0)
    plot.spines[:].set_visible(False)
    return _svg(figure)


def prices(run: Run, models: Sequence[str]) -> str:
    """A policy's prices over the arrivals: one line a model."""
    figure, plot = _figure(8.4, 4.2)
    plot.set_prop_cycle(color=mpl.colormaps["tab20"].colors)  # type: ignore[attr-defined]
    arrivals = np.linspace(0, len(run.model), len(run.prices))
    for i, name in enumerate(models):
        plot.plot(arrivals, run.prices[:, i] * 1e9, linewidth=1.2, label=_short(name))
    plot.set_xlabel("arrivals")
    plot.set_ylabel("price (score per dollar)")
    plot.set_yscale("symlog", linthresh=1.0)
    plot.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), ncols=1 + len(models) // 20)
    return _svg(figure)


def _draw(
    plot: mpl.axes.Axes, policy: str, points: Iterable[tuple[float, float]], marker: str
) -> None:
    """Draw the line of a policy; a reference is grey and dashed."""
    reference = policy.startswith("offline")
    plot.plot(
        *zip(*points, strict=True),
        marker=marker,
        markersize=4,
        linewidth=2.4 if policy == OURS else 1.2,
        linestyle="--" if reference else "-",
        color="0.5" if reference else None,
        label=policy,
    )


def _figure(width: float, height: float) -> tuple[Figure, mpl.axes.Axes]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots()


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _short(name: str, length: int = 24) -> str:
    """A model's name without its maker, as long as fits beside a plot."""
    tail = name.rsplit("/", 1)[-1]
    return tail if len(tail) <= length else tail[: length - 1] + "…"
