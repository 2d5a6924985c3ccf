"""`sluice serve`: OpenAI's API over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli import logs, options
from streams.cli.stopping import Stopper
from streams.tracing import setup
from streams.tracing.setup import Exporter

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from streams.config.settings import Config


@click.command("serve")
@options.config
@click.option(
    "--http",
    "at",
    callback=options.address,
    default="127.0.0.1:8080",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to serve. Beyond loopback only with keys ([serve.keys]).",
)
@click.option("--ui", is_flag=True, help="Serve a page about the whole deployment, too, at /ui/.")
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of files that `evaluate --json` and `replay --json` wrote, for --ui.",
)
@options.metrics
@options.traces
@logs.options
def command(
    config_file: Path,
    at: tuple[str, int],
    ui: bool,
    runs: Path | None,
    metrics: tuple[str, int] | None,
    traces: Exporter | None,
    log_level: str,
    log_format: logs.Format,
) -> None:
    """Serve OpenAI's API: chat completions, models, files and batches.

    A request becomes a query; its answer is awaited on `results`. Start as many of these processes
    as you like. Needs routers, workers, and the extra `serve`: pip install 'sluice-llm[serve]'.
    """
    from streams.config.settings import load

    if runs is not None and not ui:
        raise click.UsageError("--runs is for the page: give --ui, too")
    try:
        from streams.metrics.serve import ServeMetrics
        from streams.serve.server import run
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error.name} is missing: pip install 'sluice-llm[serve]'"
        ) from None
    logs.configure(log_level, log_format)
    setup.configure("sluice-serve", traces)
    config = load(config_file)
    counted = ServeMetrics()
    stopper = Stopper(config.process.stop_seconds)
    stopper.listen()
    stop = counted.serve(*metrics) if metrics is not None else None
    try:
        if ui:
            click.echo(f"the page: http://{at[0]}:{at[1]}/ui/", err=True)
        run(config, *at, counted, stopper.stop_with, _page(config, runs) if ui else lambda app: app)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    finally:
        if stop is not None:
            stop()
        stopper.close()


def _page(config: Config, runs: Path | None) -> Callable[[Starlette], Starlette]:
    """Return what puts the page beside an application."""
    from streams.control.commands import configured_limits
    from streams.page.app import Page
    from streams.page.view import View

    view = View(config, configured_limits(config))
    return Page(config, view, runs, config.serve.orders_key).around
