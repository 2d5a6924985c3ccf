"""`sluice audit`: rebuild the ledger from the log, and compare it with the live one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from router.budget.ledger import account_words, owner
from streams.cli import options
from streams.cli.bar import progress
from streams.config.settings import load
from streams.control.registry import Registry
from streams.kafka.logs import Logs
from streams.kafka.topics import Topics
from streams.metrics.audit import audit_registry, write_audit
from streams.verify.audit import Difference, PartitionAudit
from streams.verify.ledger_snapshot import LedgerSnapshot
from streams.verify.receipt_store import ReceiptStore

SHOWN = 50
"""Differences printed; all of them go to --json."""


def _offsets(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> dict[int, int] | None:
    """PARTITION:OFFSET pairs as a dictionary."""
    found = {}
    for value in values:
        partition, _, offset = value.partition(":")
        if not (partition.isdecimal() and offset.isdecimal()):
            raise click.BadParameter(f"{value!r} is not PARTITION:OFFSET, as in 0:1500")
        found[int(partition)] = int(offset)
    return found or None


@click.command()
@options.config
@click.option(
    "--at",
    "until",
    multiple=True,
    callback=_offsets,
    help="PARTITION:OFFSET: compare a partition as it stood when it had decided its queries up to "
    "that offset, not later. May be repeated. [default: as it stands now]",
)
@options.json_output("Write everything found to FILE.")
@click.option(
    "--metrics-file",
    type=options.FILE,
    callback=options.writable,
    help="Write sluice_audit_… metrics here, for the node exporter's textfile collector.",
)
def command(
    config_file: Path,
    until: dict[int, int] | None,
    json_out: Path | None,
    metrics_file: Path | None,
) -> None:
    """Rebuild the ledger from receipts and results, and compare it with the live one.

    Every state record in the changelog is compared, to the nano-unit; what differs is listed by
    query, and exit code 1 tells. Reads only: routers may run meanwhile. Models whose backends
    charged more than was reserved are named; that is not a difference.
    """
    config = load(config_file)
    topics, logs = Topics(config.topics.prefix), Logs(config.broker)
    registry = Registry.of(logs.read(logs.spans(topics.control)), models=config.taken_names())
    catalog = config.catalog().extended(registry.newcomers())
    with progress() as bar, ReceiptStore(topics) as receipt_store:
        snapshot = LedgerSnapshot.open(logs, topics)
        size = sum(span.size for span in snapshot.receipts)
        task = bar.add_task("reading receipts", total=size)
        receipt_store.fill(logs.read(snapshot.receipts, lambda offsets: bar.advance(task, offsets)))
        audit = bar.add_task("comparing states", total=snapshot.size)
        audited = list(
            snapshot.check(
                logs,
                catalog,
                receipt_store,
                until,
                progress=lambda offsets: bar.advance(audit, offsets),
            )
        )
        differences = [Difference(p, "", at, what) for p, at, what in receipt_store.refused]
    differences += [difference for one in audited for difference in one.differences]
    if json_out != options.STDOUT:
        show(audited, differences)
    options.write_json(json_out, report(audited, differences))
    if metrics_file is not None:
        excess = {model: int(found["excess"]) for model, found in overcharged(audited).items()}
        write_audit(metrics_file, audit_registry(len(differences), excess, time.time()))
    if differences:
        raise click.exceptions.Exit(1)


def show(audited: Sequence[PartitionAudit], differences: Sequence[Difference]) -> None:
    """Print the sums by account, overcharges and differences."""
    console = options.console(120)
    table = Table("account", title="nano-units, all partitions", title_justify="left")
    for name in ("share", "spent", "reserved", "spent by the log", "reserved by the log"):
        table.add_column(name, justify="right")
    for account, row in totals(audited).items():
        table.add_row(account_words(account), *(f"{value:,}" for value in row))
    console.print(table)
    for model, excess in overcharged(audited).items():
        console.print(
            f"{model} charged {excess['excess']:,} nano-units more than was reserved, in "
            f"{excess['answers']} answers ({excess['late']} of them late): it answers "
            "after the deadline, or uses more tokens than were reserved for (max_tokens, "
            f"image_tokens, audio_tokens); worst: {excess['worst_query']}",
        )
    unpriced = sum((one.reference.unpriced for one in audited), Counter[str]())
    for model, count in (+unpriced).items():
        console.print(
            f"{count} results of {model}, which is in no configuration any more, are counted at "
            "their reservations, for its prices are not known: put it back to compare them",
        )
    for one in differences[:SHOWN]:
        who = f"query {one.query}, " if one.query else ""
        console.print(f"partition {one.partition}, {who}{one.at}: {one.what}")
    if len(differences) > SHOWN:
        console.print(f"… and {len(differences) - SHOWN} more (see --json)")
    states, receipts, charged, refused, late, held = (
        sum(getattr(one, name) for one in audited)
        for name in ("states", "receipts", "charged", "refused", "late", "in_flight")
    )
    console.print(
        f"{states} states compared with {receipts} receipts, {charged} results charged, "
        f"{refused} results refused, {held} reservations open"
        + (f"; {late} partitions are ahead of their receipts" if late else ""),
    )
    found = len(differences)
    console.print(
        "the ledger equals the log" if not found else f"{found} differences", style="bold"
    )


def totals(audited: Sequence[PartitionAudit]) -> dict[str, tuple[int, int, int, int, int]]:
    """Return by account: share, spent and reserved of the current window, and the latter two
    by the log."""
    sums: dict[str, Counter[str]] = {}
    for one in audited:
        for name, account in (one.state.accounts if one.state is not None else {}).items():
            row = sums.setdefault(name, Counter())
            row.update(share=account.share, spent=account.spent, reserved=account.reserved)
            row.update(
                log_spent=one.reference.spent[name, account.window],
                log_reserved=one.reference.reserved[name, account.window],
            )
    keys = ("share", "spent", "reserved", "log_spent", "log_reserved")
    return {
        name: (row[keys[0]], row[keys[1]], row[keys[2]], row[keys[3]], row[keys[4]])
        for name, row in sums.items()
    }


def overcharged(audited: Sequence[PartitionAudit]) -> dict[str, dict[str, int | str]]:
    """Return by model what its answers cost above their reservations."""
    found: dict[str, dict[str, int | str]] = {}
    accounts = {name for one in audited for name in one.overcharges}
    for name in sorted(name for name in accounts if owner(name)[1] is None):
        parts = [one.overcharges[name] for one in audited if name in one.overcharges]
        worst = max(parts, key=lambda part: part.worst)
        found[name] = {
            "answers": sum(part.answers for part in parts),
            "late": sum(part.late for part in parts),
            "excess": sum(part.excess for part in parts),
            "worst": worst.worst,
            "worst_query": worst.worst_query,
        }
    return found


def report(
    audited: Sequence[PartitionAudit], differences: Sequence[Difference]
) -> dict[str, object]:
    """Return the audit as plain values."""
    names = ("share", "spent", "reserved", "log_spent", "log_reserved")
    return {
        "equal": not differences,
        "accounts": {
            name: dict(zip(names, row, strict=True)) for name, row in totals(audited).items()
        },
        "overcharged": overcharged(audited),
        "differences": [one._asdict() for one in differences],
        "partitions": [
            {
                "partition": one.partition,
                "sequence": one.state.sequence if one.state is not None else None,
                "decided": one.state.queries.decided if one.state is not None else -1,
                "states": one.states,
                "receipts": one.receipts,
                "charged": one.charged,
                "refused": one.refused,
                "in_flight": one.in_flight,
            }
            for one in audited
        ],
    }
