"""One self-contained page with what `sluice evaluate` found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby

import numpy as np

from router.evaluation import plots
from router.evaluation.engine import Run
from router.evaluation.experiment import REFERENCE_POLICY, REFERENCES, Row
from router.evaluation.frontier import Frontier, headline
from router.evaluation.problem import Problem
from router.evaluation.summary import HEADS, Line

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left }
tr.reference { color: #777 } caption { text-align: left; font-weight: 600; padding: .3rem 0 }
figure { margin: 1.5rem 0 } figcaption { color: #555 } svg { max-width: 100%; height: auto }
"""

MONEY = (
    "Mean score against money, one budget for all models. Crosses: every query to one model, and "
    "what that costs. The static mix is the best fixed shares of the models for the same money, "
    "from their means over the history (mean of 20 draws)."
)


def page(
    title: str,
    settings: Mapping[str, object],
    lines: Sequence[Line],
    shown: Sequence[tuple[Row, Run, Problem]],
    budget_sweep: Sequence[Line],
    model_sweep: Sequence[Line],
    money: Frontier | None = None,
) -> str:
    """The page as HTML text, without a link to anything outside.

    settings: what was run, by name; lines: the main tables; shown: each policy's first run, for
    budgets and prices over time; the sweeps: the same policies over several budgets, and over
    several numbers of models; money: score against money, under one shared budget.
    """
    run = ", ".join(f"{name} {value}" for name, value in settings.items())
    parts = [f"<h1>Sluice: {escape(title)}</h1>"]
    if money is not None:
        parts.append(f"<p><b>{escape(' '.join(headline(money)))}</b></p>")
        parts.append(_figure(MONEY, plots.frontier(money)))
    parts += [_explained(), f"<p>Run: {escape(run)}.</p>"]
    for cell, group in groupby(lines, key=lambda line: line.cell):
        members = list(group)
        parts.append(
            _table(
                f"Budget {cell.budget:g} x, split {cell.split}, {cell.models} models, "
                f"{members[0].arrivals} arrivals, {members[0].runs} runs",
                members,
            )
        )
    parts += _budget_figures(shown)
    parts += _sweep_figures(budget_sweep, model_sweep)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>Sluice: {escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _budget_figures(shown: Sequence[tuple[Row, Run, Problem]]) -> list[str]:
    """What each policy spent, and its prices over time where it has any."""
    routed = [row for row, _, _ in shown if row.policy not in REFERENCES]
    figures = [_figure("What each policy spent of each budget.", plots.budget_use(routed))]
    for row, run, problem in shown:
        # PORT's prices are in a unit of its own (alpha), and never change.
        if row.policy != "port" and np.isfinite(run.prices).any():
            figures.append(
                _figure(
                    f"Prices of {row.policy} over time, in score per dollar.",
                    plots.prices(run, problem.coverage.names),
                )
            )
    return figures


def _sweep_figures(budget_sweep: Sequence[Line], model_sweep: Sequence[Line]) -> list[str]:
    return [
        _figure(
            "Performance against budget.",
            plots.against(budget_sweep, "budget", "budget (x the cheapest model's cost)"),
        ),
        _figure(
            "Performance against the number of models.",
            plots.against(model_sweep, "models", "models"),
        ),
    ]


def _explained() -> str:
    return (
        "<p>Queries arrive in order and are decided on estimates from the history alone; then "
        "their true costs are charged. <b>Deferred</b>: sent nowhere. <b>Lost</b>: sent, but the "
        "true cost no longer fitted the model's budget. <b>RP</b>: performance relative to "
        f"{REFERENCE_POLICY}, the linear program over all arrivals on means of 5 neighbours. "
        "<b>±</b>: standard deviation over runs (seeds and orders of arrival).</p>"
    )


def _table(caption: str, lines: Sequence[Line]) -> str:
    body = []
    for line in lines:
        kind = ' class="reference"' if line.policy in REFERENCES else ""
        body.append(
            f"<tr{kind}>" + "".join(f"<td>{escape(cell)}</td>" for cell in line.cells()) + "</tr>"
        )
    head = "".join(f"<th>{name}</th>" for name in HEADS)
    return (
        f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _figure(caption: str, svg: str) -> str:
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"
