"""`sluice route`: run a router process."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import click

from streams.cli import logs, options
from streams.cli.stopping import Stopper

logger = logging.getLogger(__name__)


@click.command("route")
@click.option(
    "--config",
    "-c",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Configuration file; else SLUICE_CONFIG, else ./sluice.toml.",
)
@click.option(
    "--name",
    default=None,
    help="Name of this process on this machine; its data lies below it. [default: r<pid>]",
)
@options.metrics
@logs.options
def command(
    config: Path | None,
    name: str | None,
    metrics: tuple[str, int] | None,
    log_level: str,
    log_format: logs.Format,
) -> None:
    """Run a router process: it takes queries, decides, and settles results.

    Start as many as you like, on one machine or many: each takes over a part of the partitions.
    Give a process that is restarted the same --name, and it recovers from its files instead of
    from the changelog.
    """
    from router.estimation.embedders import make_embedder
    from router.estimation.index.manifest import MANIFEST
    from streams.cli.topics import require
    from streams.config.settings import load
    from streams.routing.build import build
    from streams.routing.prior import EXPLORE, write_prior
    from streams.runtime.app import create_app
    from streams.runtime.faust_worker import RouterWorker

    logs.configure(log_level, log_format)
    found = load(config)
    stopper = Stopper(found.process.stop_seconds)
    stopper.listen()
    partitions = require(found)
    data_dir = found.router.data_dir / (name or f"r{os.getpid()}")
    data_dir.mkdir(parents=True, exist_ok=True)
    embedder = make_embedder(found.embedder.kind, **found.embedder.arguments())
    if not (found.index.path / MANIFEST).exists():
        write_prior(found, embedder)
        logger.warning(
            "%s: there was no index; wrote one of priors: prices, and strength where it is "
            "declared. %.0f %% of the queries go to a model drawn at random. Learn with "
            "`sluice bootstrap`, or `sluice history` and `sluice index build`",
            found.index.path,
            100 * EXPLORE,
        )
    app = create_app(found, build(found, embedder), data_dir, metrics, partitions)
    worker = RouterWorker(app, stopper.begin, quiet=True, override_logging=False)
    worker.spinner = None  # it is not of what `quiet` covers
    stopper.stop_with(worker.stop_soon)
    worker.execute_from_commandline()
