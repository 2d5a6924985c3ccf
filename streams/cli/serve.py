"""`sluice serve`: OpenAI's API over HTTP."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from streams.cli import options


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
@options.metrics
@click.option(
    "--log-level",
    default="INFO",
    show_default=True,
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
)
def command(
    config_file: Path, at: tuple[str, int], metrics: tuple[str, int] | None, log_level: str
) -> None:
    """Serve OpenAI's API: chat completions and models.

    A request becomes a query; its answer is awaited on `results`. Start as many of these processes
    as you like. Needs routers, workers, and the extra `serve`: pip install 'sluice-llm[serve]'.
    """
    from streams.config.settings import load

    try:
        from streams.metrics.serve import ServeMetrics
        from streams.serve.server import run
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error.name} is missing: pip install 'sluice-llm[serve]'"
        ) from None
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    config = load(config_file)
    counted = ServeMetrics()
    stop = counted.serve(*metrics) if metrics is not None else None
    try:
        run(config, *at, counted)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    finally:
        if stop is not None:
            stop()
