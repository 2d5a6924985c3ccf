"""`sluice route`: run a router process."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli import logs, options
from streams.cli.stopping import Stopper
from streams.tracing import setup
from streams.tracing.setup import Exporter

if TYPE_CHECKING:
    import faust

    from router.estimation.embedders import Embedder
    from streams.config.settings import Config
    from streams.routing.build import Parts

logger = logging.getLogger(__name__)

GRACE = 5.0
"""Seconds that a supervisor gives its processes beyond the time in which they end by themselves."""


@click.command("route")
@options.config
@click.option(
    "--name",
    default=None,
    help="Name of this process on this machine; its data lies below it. [default: r<pid>]",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1, max=256),
    default=1,
    show_default=True,
    help="Run so many router processes under this one, which starts those again that end.",
)
@options.metrics
@options.traces
@logs.options
def command(
    config_file: Path,
    name: str | None,
    processes: int,
    metrics: tuple[str, int] | None,
    traces: Exporter | None,
    log_level: str,
    log_format: logs.Format,
) -> None:
    """Run a router process: it takes queries, decides, and settles results.

    Start as many as you like, on one machine or many: each takes over a part of the partitions.
    Give a process that is restarted the same --name, and it recovers from its files instead of
    from the changelog. With --processes N one command runs N of them (NAME-1 to NAME-N), on one
    port of metrics, which shows their sums.
    """
    from router.estimation.embedders import make_embedder
    from streams.cli.planning import require
    from streams.config.settings import load
    from streams.runtime.app import create_app
    from streams.runtime.supervisor import stop_with_parent

    logs.configure(log_level, log_format)
    setup.configure("sluice-router", traces)
    config = load(config_file)
    name = name or f"r{os.getpid()}"
    stopper = Stopper(config.process.stop_seconds + (GRACE if processes > 1 else 0.0))
    stopper.listen()
    partitions = require(config)
    if processes > 1:
        _ensure_index(config)
        several = [f"{name}-{number}" for number in range(1, processes + 1)]
        options_of_all = ["--config", str(config_file)]
        options_of_all += ["--log-level", log_level, "--log-format", log_format]
        _supervise(several, options_of_all, config.process.stop_seconds, metrics, stopper)
        return
    stop_with_parent()
    # A few texts at a time: handing them to other threads takes longer than reading them. This is
    # asked for at each call.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    data_dir = _data_dir(config, name)
    embedder = make_embedder(config.embedder.kind, **config.embedder.arguments())
    _ensure_index(config, embedder)
    app = create_app(config, _built(config, embedder), data_dir, metrics, partitions)
    _run(app, stopper)


def _run(app: faust.App, stopper: Stopper) -> None:
    """Run the app until this process is told to stop."""
    from streams.runtime.faust_worker import RouterWorker

    worker = RouterWorker(app, stopper.begin, quiet=True, override_logging=False)
    worker.spinner = None  # it is not of what `quiet` covers
    stopper.stop_with(worker.stop_soon)
    worker.execute_from_commandline()


def _data_dir(config: Config, name: str) -> Path:
    """Return the folder of a process's tables, without those of topics that are gone."""
    from streams.cli.planning import admin_of
    from streams.kafka.topic_ids import read_ids
    from streams.kafka.topics import Topics
    from streams.state.local_tables import forget_other_lives

    folder = config.router.data_dir / name
    folder.mkdir(parents=True, exist_ok=True)
    topics = Topics(config.topics.prefix)
    lives = read_ids(admin_of(config), [topics.changelog, topics.controller_changelog])
    forget_other_lives(folder, lives)
    return folder


def _built(config: Config, embedder: Embedder) -> Parts:
    """Build the router's parts, and tell where they explore."""
    from streams.routing.build import build
    from streams.routing.prior import exploration

    parts = build(config, embedder)
    if parts.explored:
        logger.warning(exploration(config))
    return parts


def _ensure_index(config: Config, embedder: Embedder | None = None) -> None:
    """Write an index of priors where there is none. embedder: One that is loaded already."""
    from router.estimation.embedders import make_embedder
    from router.estimation.index.manifest import MANIFEST
    from streams.routing.prior import write_prior

    if (config.index.path / MANIFEST).exists():
        return
    write_prior(
        config, embedder or make_embedder(config.embedder.kind, **config.embedder.arguments())
    )
    logger.warning(
        "%s: there was no index; wrote one of priors: prices, and strength where it is "
        "declared. Learn with `sluice bootstrap`, or `sluice learn`",
        config.index.path,
    )


def _supervise(
    names: Sequence[str],
    options_of_all: Sequence[str],
    stop_seconds: float,
    metrics: tuple[str, int] | None,
    stopper: Stopper,
) -> None:
    """Run a router process under each name until this one is told to stop."""
    from prometheus_client import CollectorRegistry

    from streams.metrics.gathered import Gathered, health_of
    from streams.metrics.server import serve
    from streams.runtime.supervisor import Supervisor

    def command(name: str, port: int) -> list[str]:
        of_this = ["--name", name, "--metrics", f"127.0.0.1:{port}"]
        return [sys.executable, "-m", "streams.cli", "route", *options_of_all, *of_this]

    # Else each would start a thread a core to cut texts into tokens.
    threads = max((os.cpu_count() or 1) // len(names), 1)
    supervisor = Supervisor(
        names, command, {"RAYON_NUM_THREADS": str(threads)}, stop_seconds + GRACE / 2
    )
    stopper.stop_with(supervisor.stop)
    stop_serving = None
    if metrics is not None:
        registry = CollectorRegistry()
        registry.register(Gathered(supervisor.members, lambda: supervisor.restarts))
        stop_serving = serve(registry, *metrics, health_of(supervisor.members, len(names)))
    try:
        supervisor.run()
    finally:
        if stop_serving is not None:
            stop_serving()
    stopper.close()
