"""`sluice demo`: a whole Sluice on this machine, from the making of topics to the last answer.

Its processes are the real ones (`sluice index build`, `route`, `work`); answers are recorded ones.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson
from confluent_kafka import ConsumerGroupState

from router.evaluation import sources
from router.evaluation.datasets import Dataset, write_jsonl
from router.evaluation.experiment import EvaluationData, Setting
from router.evaluation.loaders import load as load_outcomes
from router.evaluation.workload import synthesize
from schemas import Query
from schemas.fields import NANO
from schemas.wire import encode
from streams.brokers.embedded import EmbeddedBroker
from streams.client.produce import Line, Sender, paced
from streams.config import settings as configuration
from streams.config.settings import Config
from streams.demo.children import Children
from streams.demo.progress import Watch
from streams.kafka import clients
from streams.kafka.security import for_librdkafka
from streams.kafka.topics import Topic, Topics, create

QUERIES_PART = 0.35
"""The part of a dataset that is routed; the rest is the history (the paper's protocol)."""
READY = 120.0
"""Seconds in which the routers must have their partitions."""
SILENCE = 60.0
"""Seconds without any news from the topics, after which the demo gives up."""
LOOK = 0.1
"""Seconds between two looks at how things stand."""


class DemoError(RuntimeError):
    """A demo that does not come to its end."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be run. broker: None for the embedded one; latency: median seconds of an answer,
    None for no time; rate: queries a second."""

    dataset: Path | None
    queries: int
    broker: str | None
    routers: int
    partitions: int
    rate: float
    seed: int
    latency: float | None


@dataclass(frozen=True, slots=True)
class Ran:
    """A demo that has ended. ground: history and queries, embedded; config: what it ran with;
    seconds: from the first query to the end."""

    ground: EvaluationData
    setting: Setting
    config: Config
    watch: Watch
    seconds: float


Say = Callable[[str], None]
"""Hears, in a few words, what is being done."""
Show = Callable[[int, int, Watch], None]
"""Hears how many queries were produced, how many there are, and what has become of them."""


def run(asked: Asked, folder: Path, say: Say, show: Show) -> Ran:
    """Run it in a folder of its own, where logs and all other files are.

    Raises DemoError, ChildDied, BrokerError, DatasetError or KafkaException where it fails; its
    processes and its broker have ended in any case.
    """
    say("reading and embedding the workload" if asked.dataset else "making up the workload")
    ground, setting = _workload(asked)
    with ExitStack() as stack:
        servers = asked.broker
        embedded = None
        if servers is None:
            embedded = stack.enter_context(EmbeddedBroker())
            servers = embedded.servers
        environment = {"SLUICE_BROKER": servers, "OPENBLAS_NUM_THREADS": "1"}
        config = _prepare(asked, folder, ground, setting, environment)
        topics = Topics(config.topics.prefix)
        children = stack.enter_context(Children(folder, environment))
        say(f"building the index of {len(ground.history):,} queries of the past")
        file = str(folder / "sluice.toml")
        past = str(folder / "history.jsonl.gz")
        children.run("index", "index", "build", "--config", file, "--history", past)
        say(f"making topics {topics.prefix}* on {servers}")
        planned = topics.planned(
            list(config.models), config.topics.partitions, config.topics.model_partitions
        )
        if embedded is not None:
            embedded.create({topic.name: topic.partitions for topic in planned})
        else:
            stack.enter_context(_foreign(config, planned))
        watch = Watch(config.broker, topics, config.topics.partitions)
        stack.callback(watch.close)
        say(f"starting {asked.routers} router(s) and a worker for {len(config.models)} models")
        _start(asked, children, folder, file, config)
        _ready(asked, children, watch, config, embedded is not None)
        say(f"producing {len(ground.queries):,} queries, {asked.rate:g} a second")
        began = time.monotonic()
        _produce(asked, ground.queries, config, children, watch, show)
        _finish(ground.queries, children, watch, show)
        return Ran(ground, setting, config, watch, time.monotonic() - began)


def _workload(asked: Asked) -> tuple[EvaluationData, Setting]:
    if asked.dataset is None:
        dataset = synthesize(round(asked.queries / QUERIES_PART), asked.seed)
    else:
        dataset = load_outcomes(str(asked.dataset))
    vectors = sources.embed(dataset.prompts, sources.embedder_named("wordllama"))
    (ground,) = sources.splits(dataset, vectors, QUERIES_PART, [asked.seed])
    return ground, Setting(models=len(dataset.models), seed=asked.seed)


def _prepare(
    asked: Asked,
    folder: Path,
    ground: EvaluationData,
    setting: Setting,
    environment: dict[str, str],
) -> Config:
    """Write the files that the processes read. Budgets are those of the evaluation."""
    limits = ground.problem(setting).limits.tolist()
    write_jsonl(ground.history, folder / "history.jsonl.gz")
    write_jsonl(ground.queries, folder / "queries.jsonl.gz")
    prefix = f"demo-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}."
    sections: dict[str, dict[str, object]] = {
        "topics": {"prefix": prefix, "partitions": asked.partitions, "model_partitions": 1},
        "policy": {"expected_queries": len(ground.queries), "resolve_every": 100},
        # Where budgets are this small, what is held at most for an answer (mode max) idles too
        # much of them: 6 % less on llmrouter14.
        "reservation": {"mode": "quantile"},
        "deferral": {"retry_seconds": 2.0},
        "index": {"path": "index"},
        "router": {
            "id": f"{prefix}router",
            "store": "memory" if asked.broker is None else "rocksdb",
            "data_dir": "data",
        },
    }
    # One token is one nano-dollar, as the costs were recorded in money.
    for model, limit in zip(ground.queries.catalog().models, limits, strict=True):
        sections[f"models.{orjson.dumps(model.name).decode()}"] = {
            "input_price": "0",
            "output_price": "0.001",
            "max_output_tokens": model.max_output_tokens,
            "context": model.context,
            "budget.limit": f"{limit // NANO}.{limit % NANO:09d}",
        }
    file = folder / "sluice.toml"
    file.write_text("\n".join(f"[{name}]\n{_keys(keys)}" for name, keys in sections.items()))
    return configuration.load(file, environment)


def _keys(keys: dict[str, object]) -> str:
    return "".join(f"{key} = {orjson.dumps(value).decode()}\n" for key, value in keys.items())


@contextmanager
def _foreign(config: Config, planned: tuple[Topic, ...]) -> Iterator[None]:
    """Topics on a broker that is not ours; they are deleted in the end."""
    admin = clients.admin(for_librdkafka(config.broker))
    create(admin, planned, config.topics.replicas)
    try:
        yield
    finally:
        for deleted in admin.delete_topics([topic.name for topic in planned]).values():
            deleted.exception(READY)


def _start(asked: Asked, children: Children, folder: Path, file: str, config: Config) -> None:
    slow = () if asked.latency is None else ("--latency-median", str(asked.latency))
    answers = ("--dataset", str(folder / "queries.jsonl.gz"), "--seed", str(asked.seed))
    children.start("worker", "work", *config.models, "--config", file, *answers, *slow)
    for number in range(asked.routers):
        name = f"router{number}"
        children.start(name, "route", "--config", file, "--name", name)


def _ready(asked: Asked, children: Children, watch: Watch, config: Config, embedded: bool) -> None:
    """Wait until the routers share all partitions; the embedded broker cannot tell how many."""
    admin = clients.admin(for_librdkafka(config.broker))
    group, began = config.router.id, time.time()

    def joined() -> bool:
        found = admin.describe_consumer_groups([group])[group].result(READY)
        return len(found.members) >= asked.routers and found.state == ConsumerGroupState.STABLE

    if not embedded:
        _wait(joined, children, watch, "the routers to join their group")
        began = time.time()

    def reporting() -> bool:
        fresh = [moment for moment in watch.reported.values() if moment > began]
        return len(fresh) == asked.partitions

    _wait(reporting, children, watch, "the routers to take their partitions")


def _wait(condition: Callable[[], bool], children: Children, watch: Watch, what: str) -> None:
    give_up = time.monotonic() + READY
    while not condition():
        children.check()
        watch.look(LOOK)
        if time.monotonic() > give_up:
            raise DemoError(f"waited {READY:.0f} s for {what}\n{children.tails()}")


def _produce(
    asked: Asked, queries: Dataset, config: Config, children: Children, watch: Watch, show: Show
) -> None:
    sender = Sender(for_librdkafka(config.broker), Topics(config.topics.prefix).queries)
    lines = (
        Line(row, id.encode(), encode(Query(id=id, prompt=prompt)))
        for row, (id, prompt) in enumerate(zip(queries.ids, queries.prompts, strict=True))
    )
    shown = 0.0
    for _ in paced(lines, asked.rate, sender):
        watch.look()
        if time.monotonic() - shown > LOOK:
            children.check()
            show(sender.sent, len(queries), watch)
            shown = time.monotonic()
    sender.flush()


def _finish(queries: Dataset, children: Children, watch: Watch, show: Show) -> None:
    """Wait for the end of every query. Raises DemoError where nothing comes for long."""
    before, heard = watch.counts(), time.monotonic()
    while not watch.over(queries.ids):
        children.check()
        watch.look(LOOK)
        show(len(queries), len(queries), watch)
        if (now := watch.counts()) != before:
            before, heard = now, time.monotonic()
        elif time.monotonic() - heard > SILENCE:
            raise DemoError(
                f"nothing has come for {SILENCE:.0f} s, and not all queries have ended: {now}\n"
                f"{children.tails()}"
            )
    show(len(queries), len(queries), watch)
