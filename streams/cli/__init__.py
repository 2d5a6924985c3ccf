"""The command `sluice`. A command's module is imported when the command runs, not before."""

from __future__ import annotations

import errno
import importlib
import sys
from typing import Any

import click

COMMANDS = {
    "audit": (
        "streams.cli.audit:command",
        "Rebuild the ledger from receipts and results, and compare it with the live one.",
    ),
    "batch": ("streams.cli.batch:group", "Answer batch files, as OpenAI's batch API has them."),
    "bootstrap": (
        "streams.cli.bootstrap:command",
        "Ask every model a sample of prompts, score the answers, and build the index.",
    ),
    "budget": ("streams.cli.budget:group", "Show the budgets, or change a limit at run time."),
    "broker": ("streams.cli.broker:group", "Start a broker on this machine, or stop it."),
    "config": ("streams.cli.config:group", "Check a configuration file."),
    "demo": ("streams.cli.demo:command", "Run the whole system once on this machine."),
    "evaluate": (
        "streams.cli.evaluate:command",
        "Compare policies on recorded outcomes, under budgets that run out.",
    ),
    "explain": (
        "streams.cli.explain:command",
        "Show why a query went where it went, and what became of it.",
    ),
    "floor": (
        "streams.cli.floor:group",
        "Show the quality floors, or change one at run time (policy `quality-floor`).",
    ),
    "health": (
        "streams.cli.health:command",
        "Say whether the router or worker of this machine is ready.",
    ),
    "history": (
        "streams.cli.history:command",
        "Write the log's answered queries to a file, for the next index.",
    ),
    "index": ("streams.cli.index:group", "Build the index of historical queries."),
    "judge": (
        "streams.cli.judge:command",
        "Have the model of [judge] score the answers that `sluice history --answers` has collected",
    ),
    "key": ("streams.cli.key:group", "Make API keys for `sluice serve`."),
    "learn": (
        "streams.cli.learn:command",
        "Build an index from the log, and take it unless it does worse than the one in use.",
    ),
    "model": ("streams.cli.model:group", "List the models; add, pause, resume or remove one."),
    "produce": ("streams.cli.produce:command", "Send queries from a file to the topic queries."),
    "replay": (
        "streams.cli.replay:command",
        "Evaluate policies on the queries that a topic holds, up to its end at the start.",
    ),
    "results": (
        "streams.cli.results:command",
        "Show answers: id, model, status, what it was charged, and its words.",
    ),
    "route": ("streams.cli.route:command", "Run a router process."),
    "serve": (
        "streams.cli.serve:command",
        "Serve OpenAI's API: chat completions, models, files and batches.",
    ),
    "topics": (
        "streams.cli.topics:group",
        "Make, check, grow, delete, back up or restore the topics.",
    ),
    "version": ("streams.cli.version:command", "Show the versions of Sluice and what it runs on."),
    "work": ("streams.cli.work:command", "Run a worker that answers one model's queries."),
}
"""Name: where the command is, and its line in `sluice --help`."""

EXPLAINED = (
    ("router.evaluation.lines", "DatasetError"),
    ("router.estimation.embedders.base", "EmbeddingError"),
    ("router.estimation.index.manifest", "IndexRefused"),
    ("schemas.invalid", "Invalid"),
    ("schemas.wire", "NewerFormat"),
    ("streams.kafka.errors", "BrokerError"),
    ("streams.demo.children", "ChildDied"),
    ("streams.demo.demo", "DemoError"),
    ("streams.config.loader", "ConfigError"),
    ("streams.tracing.setup", "TracesUnavailable"),
    ("streams.worker.consumer", "WorkerError"),
)
"""Module and class of errors whose message tells the user what to do."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Of errors with which a disk takes no more."""

SETTINGS: dict[str, Any] = {
    "show_default": True,
    "max_content_width": 100,
    "help_option_names": ["-h", "--help"],
}


class Commands(click.Group):
    """The commands of `COMMANDS`; a known kind of error prints its message, not a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None for a name that is none."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; exit code 1 for an error of a known kind, 2 for wrong usage."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if (message := explained(error)) is None:
                raise
            raise click.ClickException(message) from error


@click.group(cls=Commands, context_settings=SETTINGS)
@click.version_option(package_name="sluice-llm", message="sluice %(version)s")
def main() -> None:
    """Route a stream of LLM queries on Kafka to the models that their budgets allow."""


def explained(error: Exception) -> str | None:
    """Return the message for an error of a known kind; None for a defect."""
    if _is(error, "confluent_kafka", "KafkaException"):
        return _kafka(error)
    if any(_is(error, module, name) for module, name in EXPLAINED):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in FULL:  # no file is named by what was open
        return f"the output cannot be written: {error.strerror}"
    return None


def _is(error: Exception, module: str, name: str) -> bool:
    # An error of a class can only come from a module that is imported.
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(error, getattr(loaded, name))


def _kafka(error: Any) -> str:
    from confluent_kafka import KafkaError

    from streams.kafka.presence import UNREACHABLE

    cause = error.args[0]
    if not isinstance(cause, KafkaError):
        return f"Kafka: {error}"
    if cause.code() in UNREACHABLE:
        return (
            f"no broker answers ({cause.str()}): start one (make kafka, or sluice broker), or "
            "name another by SLUICE_BROKER or broker.servers in the configuration"
        )
    return f"Kafka: {cause.str()}"
