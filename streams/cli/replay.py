"""`sluice replay`: run other policies on a log's queries, or re-execute its own decisions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from router.evaluation.frontier import CONTROL
from router.evaluation.offpolicy import Estimate, Value
from router.evaluation.summary import decisions as decisions_of
from router.policies import POLICIES
from router.policies.base import NONE
from streams.cli import audit, options
from streams.cli.bar import progress
from streams.config.settings import Config, load
from streams.kafka.logs import Logs
from streams.kafka.topics import Topics
from streams.routing.build import Parts, build
from streams.routing.reindex import Indexes
from streams.verify.ledger_snapshot import ProgressCallback
from streams.verify.policy_comparison import PolicyComparison, PolicyResult
from streams.verify.replay import Source, TaskFactory, Verified, read, verify


def _multiple(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1e6:
        raise ValueError(f"{text} is not a positive multiple of the configured budgets")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """The options of `sluice replay`, as click parsed them; what each means is in its help."""

    config_file: Path
    topic: str | None
    since: float | None
    until: float | None
    again: bool
    policies: tuple[str, ...]
    budgets: tuple[float, ...]
    models: tuple[str, ...]
    json_out: Path | None
    decisions: Path | None

    def check(self) -> None:
        """Check that the options go together.

        Raises:
            click.UsageError: there is nothing to do, or --verify comes with other settings.
        """
        if not self.again and not self.policies:
            known = ", ".join(sorted(POLICIES))
            raise click.UsageError(
                f"give --policy NAME,… to compare policies ({known}), or --verify"
            )
        changed = self.policies or self.decisions or self.models or self.budgets != (1.0,)
        if self.again and changed:
            raise click.UsageError("--verify takes the configured policy, budgets and models")


@click.command(context_settings={"show_default": True})
@options.config
@click.option("--topic", help="Topic of the queries. [default: the configured one]")
@options.since
@options.until
@click.option("--verify", "again", is_flag=True, help="Re-execute the log's decisions and compare.")
@click.option(
    "--policy",
    "policies",
    is_flag=False,
    flag_value="",
    default="",
    callback=options.listed(options.policy),
    help=f"Comma-separated policies: {', '.join(sorted(POLICIES))}.",
)
@click.option(
    "--budget",
    "budgets",
    default="1",
    callback=options.listed(_multiple),
    help="Comma-separated multiples of the configured limits.",
)
@click.option(
    "--models",
    default="",
    callback=options.listed(str),
    help="Only these models of the configuration.",
)
@options.json_output("Write every figure to FILE.")
@click.option(
    "--decisions",
    type=options.FILE,
    callback=options.writable,
    help="Write each decision of the first policy here.",
)
def command(**values: Any) -> None:
    """Evaluate policies on the queries that a topic holds, up to its end at the start.

    --verify re-executes every decision from the log, with the current configuration, and compares
    receipts and ledger byte for byte: exit code 1 where one differs, or cannot be re-executed.

    --policy runs other policies, with other --budget and --models. Only the model that a query was
    sent to has a known outcome; others are imputed from neighbours. Where the log explored
    (policy.explore), its propensities give estimates that do not depend on imputation alone.
    """
    asked = ReplayOptions(**values)
    asked.check()
    config = load(asked.config_file)
    topics = Topics(config.topics.prefix)
    topics.queries = asked.topic or topics.queries
    source = Source(Logs(config.broker), topics, asked.since, asked.until)
    parts = build(config)
    if asked.again:
        _verify(asked, Indexes.kept(config, parts), source)
    else:
        _compare(asked, config, parts, source)


def _verify(asked: ReplayOptions, indexes: Indexes, source: Source) -> None:
    """Re-execute the decisions, and exit with 1 where anything differs."""
    with progress() as bar:
        verified = verify(indexes, source, _new_tasks(bar))
    good = _show_verified(_console(asked), verified)
    options.write_json(asked.json_out, _verified_json(verified, good))
    if not good:
        raise click.exceptions.Exit(1)


def _compare(asked: ReplayOptions, config: Config, parts: Parts, source: Source) -> None:
    """Run other policies on the log's queries."""
    with progress() as bar:
        new_task = _new_tasks(bar)
        try:
            dataset = read(parts, source, new_task)
            comparison = PolicyComparison(config, parts, dataset, asked.models)
            step = new_task("routing", len(asked.policies) * len(asked.budgets))
            results = []
            for one in comparison.run(asked.policies, asked.budgets):
                results.append(one)
                step(1)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    _show(_console(asked), comparison, results)
    options.write_json(asked.json_out, _json(comparison, results))
    if asked.decisions is not None:
        options.write_lines(asked.decisions, _lines(comparison, results[0]))


def _new_tasks(bar: Progress) -> TaskFactory:
    def begin(what: str, total: int) -> ProgressCallback:
        task = bar.add_task(what, total=total)
        return lambda count: bar.advance(task, count)

    return begin


def _console(asked: ReplayOptions) -> Console:
    """Return where figures are printed: on stderr where JSON goes to standard output."""
    return options.console(160, stderr=asked.json_out == options.STDOUT)


# Verify


def _show_verified(console: Console, verified: Verified) -> bool:
    """Print what was found. Returns whether all of it is as it was."""
    differences = [one for part in verified.replayed for one in part.differences]
    for one in differences[: audit.SHOWN]:
        console.print(f"partition {one.partition}, query {one.query}, {one.at}: {one.what}")
    if len(differences) > audit.SHOWN:
        console.print(f"… and {len(differences) - audit.SHOWN} more decisions (see --json)")
    for partition, decision, words in verified.refused:
        console.print(f"partition {partition}, {decision}: {words}")
    ledger = [one for part in verified.audited for one in part.differences]
    for found in ledger[: audit.SHOWN]:
        console.print(f"ledger of partition {found.partition}, {found.at}: {found.what}")
    lacking: dict[str, int] = {}
    for part in verified.replayed:
        for why, count in part.missing.items():
            lacking[why] = lacking.get(why, 0) + count
    for why, count in lacking.items():
        console.print(f"{count} decisions could not be taken again: {why}")
    taken = sum(part.decisions for part in verified.replayed)
    states = sum(part.states for part in verified.audited)
    good = not (differences or verified.refused or ledger or lacking)
    console.print(
        f"{taken} decisions taken again, {taken - len(differences)} of them with the same bytes; "
        f"{states} states of the ledger compared, {len(ledger)} differences"
    )
    return good


def _verified_json(verified: Verified, good: bool) -> dict[str, object]:
    return {
        "same": good,
        "partitions": [
            {
                "partition": part.partition,
                "decisions": part.decisions,
                "adopted": part.adopted,
                "missing": part.missing,
                "differences": [one._asdict() for one in part.differences],
                "ledger": [one._asdict() for one in ledger.differences],
            }
            for part, ledger in zip(verified.replayed, verified.audited, strict=True)
        ],
        "refused": [
            {"partition": number, "at": decision, "what": words}
            for number, decision, words in verified.refused
        ],
    }


# Other policies


def _show(console: Console, comparison: PolicyComparison, results: list[PolicyResult]) -> None:
    dataset = comparison.dataset
    score, cost, sent = comparison.logged()
    table = Table(
        title=f"{len(dataset)} queries ({dataset.left_out} rejected or undecided left out); "
        f"the log: {sent} sent, score {'unknown' if isnan(score) else f'{score:.4f}'} and cost "
        f"{cost:,.0f} nano-units a query",
        title_justify="left",
    )
    table.add_column("policy", no_wrap=True)
    for name in ("budget", "sent", "agree", "uncovered", "score*", "cost*", "agreeing"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("IPS", "SNIPS", "DR"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in results:
        n = max(len(dataset), 1)
        table.add_row(
            one.policy,
            f"{one.budget:g}",
            str(one.run.count),
            str(one.score.agreed),
            str(one.score.uncovered),
            f"{one.run.performance / n:.4f}",
            f"{one.run.cost / n:,.0f}",
            _value(one.score.on_agreement),
            *(
                _value(value)
                for value in (one.score.inverse, one.score.self_normalised, one.score.doubly_robust)
            ),
        )
    console.print(table)
    for sentence in _money_sentences(results):
        console.print(sentence)
    _show_uncounted(console, comparison.uncounted)
    known = comparison.judged_outcomes
    console.print(
        f"* {known} of {len(dataset)} queries have a known score, of the one model they went to; "
        "all other outcomes are imputed from the nearest queries. Policies decide on estimates "
        "from much the same neighbours, so score* flatters them."
    )
    console.print(
        "IPS, SNIPS, DR: score a query by inverse propensity, self-normalised, doubly robust, ± "
        "half of a 95 % interval, with decisions as they fell under imputed costs; biased where "
        "decisions are uncovered (the log could not have taken them)."
        if comparison.explored
        else "The log did not explore: its propensities are all 1, so nothing but the queries on "
        "which policies agree tells of them (agreeing: mean score there). IPS, SNIPS and DR are "
        "not defined. Set policy.explore to make a log that can tell."
    )


def _show_uncounted(console: Console, limits: list[str]) -> None:
    if limits:
        console.print(
            f"Not counted: the limits {', '.join(limits)}. Only money for all tenants is, with the "
            "whole log as one window of each limit."
        )


def _money_sentences(results: list[PolicyResult]) -> list[str]:
    """Say what policies are worth beside the static mix and the best single model."""
    control = {one.budget: one.run.performance for one in results if one.policy == CONTROL}
    sentences = [
        f"{one.policy} scores* {100 * (one.run.performance / control[one.budget] - 1):+.1f} % on "
        f"{CONTROL} at the same limits (budget {one.budget:g})."
        for one in results
        if one.policy != CONTROL and control.get(one.budget)
    ]
    if sentences:
        problem = results[0].problem
        score, cost = problem.scores.mean(axis=0), problem.costs.mean(axis=0)
        best = int(score.argmax())
        sentences.append(
            f"The best single model, {problem.catalog.names[best]}, would score* {score[best]:.4f} "
            f"and cost* {cost[best]:,.0f} a query without any limit."
        )
    return sentences


def _value(value: Value | None) -> str:
    """A mean with its interval; a dash where nothing is known."""
    if value is None or isnan(value.mean):
        return "-"
    return f"{value.mean:.4f} ±{value.half_width:.4f}"


def _json(comparison: PolicyComparison, results: list[PolicyResult]) -> dict[str, object]:
    score, cost, sent = comparison.logged()
    dataset = comparison.dataset
    return {
        "queries": len(dataset),
        "left_out": dataset.left_out,
        "known_scores": comparison.judged_outcomes,
        "explored": comparison.explored,
        "limits_not_counted": comparison.uncounted,
        "logged": {"score": score, "cost": cost, "sent": sent},
        "policies": [
            {
                "policy": one.policy,
                "budget": one.budget,
                "sent": one.run.count,
                "deferred": one.run.deferred,
                "lost": one.run.lost,
                "imputed_performance": one.run.performance,
                "imputed_cost": one.run.cost,
                "score": _estimate(one.score),
                "cost": _estimate(one.cost),
            }
            for one in results
        ],
    }


def _estimate(estimate: Estimate) -> dict[str, object]:
    return {
        name: {"mean": value.mean, "half_width": value.half_width}
        if isinstance(value, Value)
        else value
        for name in Estimate.__slots__
        for value in (getattr(estimate, name),)
    }


def _lines(comparison: PolicyComparison, result: PolicyResult) -> Iterator[dict[str, Any]]:
    """Each decision as `sluice evaluate` writes it, with the log's own."""
    dataset, names = comparison.dataset, result.problem.catalog.names
    kind = POLICIES[result.policy].estimator
    for row, line in enumerate(decisions_of(result.run, result.problem, kind)):
        logged = int(dataset.model[row])
        yield {
            **line,
            "logged": None if logged == NONE else names[logged],
            "propensity": float(dataset.propensity[row]),
        }
