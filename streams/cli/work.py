"""`sluice work`: answer the queries of one model or more."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import click
from confluent_kafka import Producer

from router.models.catalog import Model
from router.models.pools import served
from schemas.sendable import api_key
from streams.cli import logs, options
from streams.cli.stopping import Stopper
from streams.config.models import ModelSettings
from streams.config.settings import Config, load
from streams.kafka.logs import Logs
from streams.kafka.security import for_librdkafka
from streams.kafka.starts import StartLog
from streams.kafka.topics import Topics
from streams.metrics.health import Health, on_loop
from streams.metrics.server import Address
from streams.metrics.worker import WorkMetrics
from streams.tracing import setup
from streams.tracing.setup import Exporter
from streams.worker.backends.base import Backend
from streams.worker.backends.echo import Echo
from streams.worker.publisher import new_producer
from streams.worker.worker import Worker

logger = logging.getLogger(__name__)

GRACE_PART = 0.6
"""Of the time to stop in, the part that calls in flight get to end; results are acknowledged and
offsets committed in the rest."""
REMIND_EVERY = 60.0
"""Seconds between two reminders of a worker that waits for a key."""


@click.command(context_settings={"show_default": True})
@click.argument("models", metavar="MODEL [MODEL]...", nargs=-1, required=True)
@options.config
@click.option(
    "--dataset",
    type=options.FILE,
    help="Answer with the outcomes recorded in this file (JSON lines, plain or .gz) and call "
    "nobody. [default: call the model's base_url]",
)
@click.option(
    "--echo",
    is_flag=True,
    help="Answer with the query's own words and call nobody: for a first run without a server or "
    "a key. A word counts as one token at the model's prices.",
)
@click.option(
    "--latency-median",
    type=options.Number(0, 3600, min_open=True),
    help="Seconds that a recorded answer takes, in the middle of a log-normal distribution. "
    "[default: no time]",
)
@click.option(
    "--latency-sigma",
    type=options.Number(0, 5),
    default=0.5,
    help="Standard deviation of the logarithm of that time.",
)
@click.option("--seed", default=0, help="The same one gives each query the same time again.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 10_000),
    help="Calls at a time, for each model. [default: concurrency in the configuration]",
)
@click.option(
    "--wait-for-key",
    is_flag=True,
    help="Where the variable of an API key is empty, say so and wait to be stopped, instead of "
    "ending with an error: for supervisors that would start it again and again.",
)
@options.metrics
@options.traces
@logs.options
def command(
    models: Sequence[str],
    config_file: Path,
    dataset: Path | None,
    echo: bool,
    latency_median: float | None,
    latency_sigma: float,
    seed: int,
    concurrency: int | None,
    wait_for_key: bool,
    metrics: tuple[str, int] | None,
    traces: Exporter | None,
    log_level: str,
    log_format: logs.Format,
) -> None:
    """Run a worker that answers one model's queries.

    A model with pools is answered in all of them, and MODEL.POOL in one. Several models may share a
    process. Start as many processes as you like: they divide each model's partitions among them.
    SIGTERM or Ctrl-C ends calls in flight before the process; a killed one's queries are taken over
    by the others.
    """
    logs.configure(log_level, log_format)
    setup.configure("sluice-worker", traces)
    config = load(config_file)
    models = list(dict.fromkeys(models))
    config = _with_models(config, config_file, models)
    if dataset is None and latency_median is not None:
        raise click.UsageError("--latency-median is of recorded answers: it needs --dataset")
    if dataset is not None and echo:
        raise click.UsageError("--echo and --dataset both say how to answer: choose one")
    names = _served(config, models)
    calls = {name: concurrency or _settings(config, one).concurrency for name, one in names.items()}
    backends: Mapping[str, Backend]
    if echo:
        backends = {name: Echo() for name in names}
    elif dataset is not None:
        backends = _recorded(dataset, names, latency_median, latency_sigma, seed)
    else:
        if wait_for_key and (empty := _empty_keys(config, names)):
            _wait_without(empty, metrics)
            return
        backends = _servers(config, names, calls)
    stopper = Stopper(config.process.stop_seconds)
    stopper.listen()
    try:
        asyncio.run(_serve(config, names, backends, calls, metrics, stopper))
    finally:
        stopper.close()


def _with_models(config: Config, file: Path, models: Sequence[str]) -> Config:
    """Return the configuration with models that a command added, if one of them is asked for.

    Raises:
        click.BadParameter: there is no such model.
        click.ClickException: a variable that one refers to is not set.
    """
    if set(models) <= set(config.served()):
        return config
    from streams.control.commands import with_added_models

    try:
        config = with_added_models(config, models, os.environ)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    for model in models:
        if model not in config.served():
            known = ", ".join(config.models)
            rule = f"neither {file} nor sluice model add has a model {model!r}; there are: {known}"
            raise click.BadParameter(rule)
    return config


class Served(NamedTuple):
    """What one worker answers for: a model, or a pool of it."""

    model: str
    pool: str | None = None


def _served(config: Config, asked: Sequence[str]) -> Mapping[str, Served]:
    """Return what to answer for by its name: a model stands for itself and all of its pools."""
    found = {}
    for model, settings in config.models.items():
        for pool in (None, *settings.pools):
            name = served(model, pool)
            if model in asked or name in asked:
                found[name] = Served(model, pool)
    return found


def _settings(config: Config, one: Served) -> ModelSettings:
    settings = config.models[one.model]
    return settings if one.pool is None else settings.of_pool(one.pool)


def _priced(config: Config, one: Served) -> Model:
    catalog = config.catalog()
    return catalog.models[catalog.index[one.model]].in_pool(one.pool)


async def _serve(
    config: Config,
    names: Mapping[str, Served],
    backends: Mapping[str, Backend],
    calls: Mapping[str, int],
    at: Address | None,
    stopper: Stopper,
) -> None:
    """Run a worker for each model until a signal comes or one of them fails; raise its error.

    at: where Prometheus may ask.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    stopper.stop_with(lambda: loop.call_soon_threadsafe(stop.set))
    topics = Topics(config.topics.prefix)
    producer = new_producer(for_librdkafka(config.broker))
    metrics = WorkMetrics()
    workers: list[Worker] = []

    async def serve(name: str) -> None:
        worker = _worker(config, topics, name, backends[name], producer, calls[name], metrics)
        metrics.add_model(
            name,
            lambda: worker.unanswered,
            lambda: worker.backend_is_up,
            _priced(config, names[name]),
        )
        workers.append(worker)
        try:
            await worker.run(stop, GRACE_PART * config.process.stop_seconds)
        finally:
            stopper.begin()
            stop.set()

    logger.info("answering for %s, at %s", ", ".join(backends), config.broker.servers)

    def not_ready() -> list[str]:
        return [why for worker in workers if (why := worker.not_ready)] if workers else ["starting"]

    stop_metrics = metrics.serve(*at, on_loop(not_ready)) if at is not None else None
    ends = await asyncio.gather(*map(serve, backends), return_exceptions=True)
    if stop_metrics is not None:
        stop_metrics()
    for error in ends:
        if error is not None:
            raise error
    logger.info("stopped: what was taken is answered and committed")


def _worker(
    config: Config,
    topics: Topics,
    model: str,
    backend: Backend,
    producer: Producer,
    calls: int,
    metrics: WorkMetrics,
) -> Worker:
    """Make the worker of a model or a pool."""
    reservation = config.reservation
    return Worker(
        model,
        backend,
        producer,
        config.broker.servers,
        config.broker.security,
        topics=topics,
        starts=StartLog(Logs(config.broker), topics.starts, reservation.deadline_seconds),
        group=topics.routed(model),
        concurrency=calls,
        clock_margin=min(reservation.clock_margin, reservation.deadline_seconds / 4),
        answered=metrics.answered,
    )


def _servers(
    config: Config, names: Mapping[str, Served], calls: Mapping[str, int]
) -> Mapping[str, Backend]:
    """Backends that call each model's server. Raises ClickException where one is not described."""
    from streams.worker.backends.openai import OpenAI, Retries
    from streams.worker.backends.request import RequestForm

    def backend(name: str, one: Served) -> Backend:
        model, settings = one.model, _settings(config, one)
        if not settings.base_url:
            raise click.ClickException(
                f"models.{model}.base_url is missing: name the model's server in the "
                "configuration, or answer without one: with --echo, or from recorded outcomes "
                "with --dataset"
            )
        return OpenAI(
            settings.name or model,
            settings.base_url,
            _key(model, settings),
            settings.timeout,
            Retries(uncertain=settings.retry_uncertain),
            connections=calls[name],
            form=RequestForm(settings.max_tokens_field, settings.allow_fields, settings.extra_body),
            headers=settings.extra_headers,
            priced=_priced(config, one),
        )

    return {name: backend(name, one) for name, one in names.items()}


def _empty_keys(config: Config, served_names: Mapping[str, Served]) -> Sequence[str]:
    """Names of the variables that should hold the models' API keys, and do not."""
    names = {config.models[one.model].api_key_env for one in served_names.values()} - {None}
    return sorted(name for name in names if name and not os.environ.get(name))


def _wait_without(empty: Sequence[str], at: Address | None) -> None:
    """Wait until the process is told to stop: its environment cannot change any more.

    at: where the probes may ask; it is alive, and not ready.
    """
    health = Health(ready=lambda: [f"{name} is empty" for name in empty])
    with ExitStack() as stack:
        ended = stack.enter_context(options.ending())
        if at is not None:
            stack.callback(WorkMetrics().serve(*at, health))
        while True:
            logger.warning(
                "waiting, and answering nothing: %s empty; set it and start this worker again",
                " and ".join(empty) + (" is" if len(empty) == 1 else " are"),
            )
            if ended.wait(REMIND_EVERY):
                return


def _key(model: str, settings: ModelSettings) -> str | None:
    if settings.api_key_env is None:
        return None
    if key := api_key(settings.api_key_env, os.environ):
        return key
    raise click.ClickException(
        f"the environment variable {settings.api_key_env} is empty: models.{model}.api_key_env "
        "says that it holds the API key"
    )


def _recorded(
    file: Path, names: Mapping[str, Served], median: float | None, sigma: float, seed: int
) -> Mapping[str, Backend]:
    from streams.worker.backends.recorded import Latency, Recorded

    latency = None if median is None else Latency(median, sigma, seed)
    try:
        found = Recorded.read(file, list({one.model for one in names.values()}), latency)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    return {name: found[one.model] for name, one in names.items()}
