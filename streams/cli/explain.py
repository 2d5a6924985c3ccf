"""`sluice explain`: why a query went where it went, and what it cost."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
import orjson
from rich.console import Console
from rich.table import Table

from router.models.catalog import ModelCatalog
from router.policies.base import REASONS
from schemas import Receipt, Result
from schemas.fields import NANO
from streams.cli import options
from streams.client.answers import Answer, charged, of_result
from streams.config.settings import load
from streams.control.commands import read_registry
from streams.kafka.logs import Logs
from streams.kafka.topics import Topics
from streams.verify.explanation import Explanation
from streams.verify.explanation import explain as explained

EXCERPT = 200
"""Characters of a text that are shown."""


@click.command("explain")
@click.argument("id")
@options.config
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
def command(id: str, config_file: Path, as_json: bool) -> None:
    """Show why a query went where it went, and what became of it.

    The query, each model's estimates and price, which limit had no room, the neighbours, the
    decision, the answer and what it was charged. ID is the query's. Exits with 1 where the log has
    nothing of it.
    """
    config = load(config_file)
    logs, topics = Logs(config.broker), Topics(config.topics.prefix)
    found = explained(logs, topics, id)
    if not (found.receipts or found.rejections):
        raise click.ClickException(
            f"the log has nothing of a query {id!r}: it was not sent, is not decided yet, or is "
            "older than the topics keep"
        )
    catalog = config.catalog().extended(read_registry(config).newcomers())
    if as_json:
        click.echo(orjson.dumps(report(found, catalog), option=orjson.OPT_INDENT_2))
    else:
        show(found, catalog)


def report(found: Explanation, catalog: ModelCatalog) -> dict[str, Any]:
    """Return an explanation as plain values; amounts are nano-units."""
    decisions = [
        {
            **msgspec.to_builtins(receipt),
            "prices": found.prices.get(receipt.price_version),
            "scores": found.scores(receipt) or None,
            "short_of_money": found.short_of_money(receipt),
            "busy_pools": found.busy_pools.get(receipt.price_version),
        }
        for receipt in found.receipts
    ]
    results = [
        {**msgspec.to_builtins(result), "charged": charged(result, catalog)}
        for result in found.results
    ]
    return {
        "id": found.id,
        "waits": found.waits(),
        "query": msgspec.to_builtins(found.query),
        "decisions": decisions,
        "results": results,
        "rejections": [
            {"code": each.code, "reason": each.reason, "field": each.field}
            for each in found.rejections
        ],
    }


def show(found: Explanation, catalog: ModelCatalog) -> None:
    """Print an explanation for a person."""
    console = options.console(120)
    console.print(f"query {found.id}", style="bold", markup=False)
    if (query := found.query) is not None:
        facts = {
            "tenant": query.tenant,
            "allowed models": ", ".join(query.allowed_models or ()),
            "at most": query.max_cost and _amount(query.max_cost),
            "deadline": query.deadline and _moment(query.deadline),
            "output tokens": query.output_tokens,
        }
        console.print(f"  {_excerpt(query.text())}", markup=False)
        for name, value in facts.items():
            if value:
                console.print(f"  {name}: {value}", markup=False)
    for receipt in found.receipts:
        console.print()
        _show_decision(console, found, receipt)
    for result in found.results:
        console.print()
        _show_result(console, result, catalog)
    if (waits := found.waits()) is not None:
        console.print(f"\n{waits}", style="bold", markup=False)
    for each in found.rejections:
        console.print(f"\nrejected ({each.code}): {each.reason}", markup=False)


def _show_decision(console: Console, found: Explanation, receipt: Receipt) -> None:
    went = f"{receipt.decision}{f' to {receipt.model}' if receipt.model else ''}"
    words = REASONS.get(receipt.reason, receipt.reason)
    console.print(f"{_moment(receipt.decided_at)}: {went}: {words}", style="bold", markup=False)
    short, scores = found.short_of_money(receipt), found.scores(receipt)
    prices = found.prices.get(receipt.price_version, {})
    table = Table("model", box=None, pad_edge=False)
    for name in ("quality", "cost", "price of a unit", "score"):
        table.add_column(name, justify="right")
    table.add_column("")
    for model in receipt.quality:
        note = "no room in a limit" if model in short else ""
        table.add_row(
            model,
            f"{receipt.quality[model]:.3f}",
            _amount(receipt.cost.get(model, 0)),
            f"{prices[model] * NANO:.4g}" if model in prices else "?",
            f"{scores[model]:.3f}" if model in scores else "?",
            "chosen" if model == receipt.model else note,
        )
    if receipt.quality:
        console.print(table)
    if receipt.reserved:
        tokens = f" for {receipt.max_tokens} output tokens ({receipt.bound})"
        console.print(f"  reserved: {_amount(receipt.reserved)}{tokens}", markup=False)
    if receipt.pool is not None:
        busy = ", ".join(found.busy_pools.get(receipt.price_version, ()))
        console.print(f"  pool: {receipt.pool}{f' (busy: {busy})' if busy else ''}", markup=False)
    if receipt.neighbours:
        console.print(f"  neighbours: {', '.join(receipt.neighbours)}", markup=False)
    console.print(
        f"  decision {receipt.decision_id}, policy {receipt.policy}, prices "
        f"{receipt.price_version}, index {receipt.index}",
        markup=False,
    )


def _show_result(console: Console, result: Result, catalog: ModelCatalog) -> None:
    cost = charged(result, catalog)
    console.print(
        f"{result.model} answered {result.status_code}, charged "
        f"{_amount(cost) if cost is not None else 'the reservation'}",
        style="bold",
        markup=False,
    )
    ending = of_result(result, catalog)
    words = ending.text if isinstance(ending, Answer) else str(ending)
    console.print(f"  {_excerpt(words)}", markup=False)
    if (used := result.usage) is not None:
        console.print(f"  tokens: {used.prompt_tokens} in, {used.completion_tokens} out")
    if result.duration is not None:
        console.print(f"  {result.duration:.2f} s, {result.attempts} calls")
    if result.score is not None:
        console.print(f"  judged {result.score:.3f}")


def _amount(nano: int) -> str:
    """Nano-units in units of currency."""
    return f"{nano / NANO:.9f}".rstrip("0").rstrip(".")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(" ", "seconds")


def _excerpt(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= EXCERPT else words[: EXCERPT - 1] + "…"
