"""`sluice demo`: a whole Sluice on this machine, from creating topics to the last answer.

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
from confluent_kafka import ConsumerGroupState, KafkaException

from router.budget.windows import MINUTE
from router.evaluation import sources
from router.evaluation.datasets import Dataset, write_jsonl
from router.evaluation.experiment import EvaluationData, Setting
from router.evaluation.loaders import load as load_outcomes
from router.evaluation.workload import synthesize
from schemas import Query
from schemas.wire import encode
from streams.brokers.embedded import EmbeddedBroker
from streams.brokers.kafka import free_port
from streams.client.produce import Line, Sender, paced
from streams.config import settings as configuration
from streams.config.settings import Config
from streams.demo import money
from streams.demo.children import Children
from streams.demo.money import TENANTS, Limiting
from streams.demo.progress import CALM, DemoProgress
from streams.kafka import clients
from streams.kafka.admin import ANSWER
from streams.kafka.security import for_librdkafka
from streams.kafka.topics import Topics, create
from streams.kafka.waiting import is_not_yet

QUERIES_PART = 0.35
"""Fraction of a dataset that is routed; the rest is the history (the paper's protocol)."""
READY = 120.0
"""Seconds in which the routers must have their partitions."""
SILENCE = 60.0
"""Seconds without a change in any topic, beyond those that deferred queries are given, after which
the demo gives up."""
PATIENT = 2.0
"""Seconds without a change, after which the demo says what it waits for."""
LOOK = 0.1
"""Seconds between two reads of the topics."""


class DemoError(RuntimeError):
    """A demo that did not finish."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The options of `sluice demo`.

    Attributes:
        dataset: recorded outcomes; None for a synthetic workload.
        queries: size of the synthetic workload.
        broker: HOST:PORT; None for an embedded broker.
        routers: number of router processes.
        partitions: number of partitions of `queries`.
        rate: queries per second.
        seed: of the workload and its split.
        latency: median seconds of an answer; None for none.
        page: whether the page is served, too.
        limiting: how the money is limited (`money.py`).
        money: all of it, in what the cheapest model needs for all queries.
    """

    dataset: Path | None
    queries: int
    broker: str | None
    routers: int
    partitions: int
    rate: float
    seed: int
    latency: float | None
    page: bool = False
    limiting: Limiting = "models"
    money: float = 1.0


@dataclass(frozen=True, slots=True)
class DemoRun:
    """A finished demo.

    Attributes:
        data: history and queries, embedded.
        setting: budget and models of the offline runs.
        config: the configuration it ran with.
        progress: everything read from the topics.
        seconds: from the first query to the end.
        page: address of the page; None without one.
    """

    data: EvaluationData
    setting: Setting
    config: Config
    progress: DemoProgress
    seconds: float
    page: str | None = None


Say = Callable[[str], None]
"""Called with a short description of each step."""
Show = Callable[[int, int, DemoProgress], None]
"""Called with the number of queries produced, their total, and the progress."""


def run(
    options: DemoOptions,
    folder: Path,
    say: Say,
    show: Show,
    then: Callable[[DemoRun], None] = lambda ran: None,
) -> DemoRun:
    """Run a demo. Its processes and its broker have ended when this returns or raises.

    Args:
        options: what to run.
        folder: where configuration, index and logs are written.
        say: called with a description of each step.
        show: called often with the progress.
        then: called at the end, while everything is still up.

    Raises:
        DemoError: the system did not start or finish in time.
        ChildDied: a process ended early.
        BrokerError: the broker refused a topic.
        DatasetError: the dataset cannot be read.
        KafkaException: the broker does not answer.
    """
    say("reading and embedding the workload" if options.dataset else "generating the workload")
    data, setting = _workload(options)
    with ExitStack() as stack:
        embedded = None if options.broker else stack.enter_context(EmbeddedBroker())
        servers = embedded.servers if embedded else str(options.broker)
        environment = {"SLUICE_BROKER": servers, "OPENBLAS_NUM_THREADS": "1"}
        config = _prepare(options, folder, data, setting, environment)
        topics = Topics(config.topics.prefix)
        say(f"creating topics {topics.prefix}* on {servers}")
        stack.enter_context(_temporary_topics(config, embedded))
        children = stack.enter_context(Children(folder, environment))
        file = _index(children, folder, len(data.history), say)
        paying = money.paying(options.limiting, list(config.models))
        calm = MINUTE + CALM if options.limiting == "overlapping" else CALM
        progress = DemoProgress(config.broker, topics, config.topics.partitions, paying, calm)
        stack.callback(progress.close)
        page = _start_page(children, file, say) if options.page else None
        say(f"starting {options.routers} router(s) and a worker for {len(config.models)} models")
        _start(options, children, folder, file, config)
        _ready(options, children, progress, config, embedded is not None)
        say(f"producing {len(data.queries):,} queries, {options.rate:g} a second")
        began = time.monotonic()
        _produce(options, data.queries, config, children, progress, show)
        _finish(data.queries, children, progress, say, show)
        ran = DemoRun(data, setting, config, progress, time.monotonic() - began, page)
        then(ran)
        return ran


def _index(children: Children, folder: Path, past: int, say: Say) -> str:
    """Build the index of past queries. Returns the configuration's path."""
    say(f"building the index of {past:,} past queries")
    file, history = str(folder / "sluice.toml"), str(folder / "history.jsonl.gz")
    children.run("index", "index", "build", "--config", file, "--history", history)
    return file


def _workload(options: DemoOptions) -> tuple[EvaluationData, Setting]:
    if options.dataset is None:
        dataset = synthesize(round(options.queries / QUERIES_PART), options.seed)
    else:
        dataset = load_outcomes(str(options.dataset))
    vectors = sources.embed(dataset.prompts, sources.embedder_named("wordllama"))
    (data,) = sources.splits(dataset, vectors, QUERIES_PART, [options.seed])
    return data, money.setting(options.limiting, data, options.money, options.seed)


def _prepare(
    options: DemoOptions,
    folder: Path,
    data: EvaluationData,
    setting: Setting,
    environment: dict[str, str],
) -> Config:
    """Write the configuration and data files. Budgets are those of `sluice evaluate`."""
    limits: list[int] = data.problem(setting).limits.tolist()
    write_jsonl(data.history, folder / "history.jsonl.gz")
    write_jsonl(data.queries, folder / "queries.jsonl.gz")
    prefix = f"demo-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}."
    sections: dict[str, dict[str, object]] = {
        "topics": {"prefix": prefix, "partitions": options.partitions, "model_partitions": 1},
        "policy": {"expected_queries": len(data.queries), "resolve_every": 100},
        # Where budgets are this small, what is held at most for an answer (mode max) idles too
        # much of them: 6 % less on llmrouter14.
        "reservation": {"mode": "quantile"},
        "deferral": {"retry_seconds": 2.0},
        "index": {"path": "index"},
        "router": {
            "id": f"{prefix}router",
            "store": "memory" if options.broker is None else "rocksdb",
            "data_dir": "data",
        },
    }
    # One token is one nano-dollar, as the costs were recorded in money.
    limiting = money.sections(options.limiting, data, limits, options.rate)
    for model in data.queries.catalog().models:
        sections[f"models.{orjson.dumps(model.name).decode()}"] = {
            "input_price": "0",
            "output_price": "0.001",
            "max_output_tokens": model.max_output_tokens,
            "context": model.context,
            **limiting.pop(f"models.{model.name}", {}),
        }
    file = folder / "sluice.toml"
    everything = (sections | limiting).items()
    file.write_text("\n".join(f"[{name}]\n{_keys(keys)}" for name, keys in everything))
    return configuration.load(file, environment)


def _keys(keys: dict[str, object]) -> str:
    return "".join(f"{key} = {orjson.dumps(value).decode()}\n" for key, value in keys.items())


@contextmanager
def _temporary_topics(config: Config, embedded: EmbeddedBroker | None) -> Iterator[None]:
    """Create all topics, and delete them at the end where the broker stays.

    What uses them has ended by then: a broker may make topics that somebody asks for.
    """
    settings = config.topics
    planned = Topics(settings.prefix).planned(
        list(config.models), settings.partitions, settings.model_partitions
    )
    if embedded is not None:
        embedded.create({topic.name: topic.partitions for topic in planned})
        yield
        return
    admin = clients.admin(for_librdkafka(config.broker))
    create(admin, planned, config.topics.replicas)
    try:
        yield
    finally:
        for deleted in admin.delete_topics([topic.name for topic in planned]).values():
            deleted.exception(READY)


def _start(
    options: DemoOptions, children: Children, folder: Path, file: str, config: Config
) -> None:
    slow = () if options.latency is None else ("--latency-median", str(options.latency))
    answers = ("--dataset", str(folder / "queries.jsonl.gz"), "--seed", str(options.seed))
    children.start("worker", "work", *config.models, "--config", file, *answers, *slow)
    for number in range(options.routers):
        name = f"router{number}"
        children.start(name, "route", "--config", file, "--name", name)


def _start_page(children: Children, file: str, say: Say) -> str:
    """Start `sluice serve --ui`. Returns the page's address."""
    at = f"127.0.0.1:{free_port()}"
    children.start("page", "serve", "--config", file, "--http", at, "--ui")
    address = f"http://{at}/ui/"
    say(f"the page: {address}")
    return address


def _ready(
    options: DemoOptions, children: Children, progress: DemoProgress, config: Config, embedded: bool
) -> None:
    """Wait until the routers own all partitions."""
    admin = clients.admin(for_librdkafka(config.broker))
    group, began = config.router.id, time.time()

    def joined() -> bool:
        # The first group of a fresh broker: its coordinator is there when its topic is made.
        try:
            asked = admin.describe_consumer_groups([group], request_timeout=ANSWER)
            found = asked[group].result(READY)
        except KafkaException as error:
            if is_not_yet(error):
                return False
            raise
        return len(found.members) >= options.routers and found.state == ConsumerGroupState.STABLE

    if not embedded:
        _wait(joined, children, progress, "the routers to join their group")
        began = time.time()

    def reporting() -> bool:
        fresh = [moment for moment in progress.reported.values() if moment > began]
        return len(fresh) == options.partitions

    _wait(reporting, children, progress, "the routers to take their partitions")


def _wait(
    condition: Callable[[], bool], children: Children, progress: DemoProgress, what: str
) -> None:
    deadline = time.monotonic() + READY
    while not condition():
        children.check()
        progress.poll(LOOK)
        if time.monotonic() > deadline:
            raise DemoError(f"waited {READY:.0f} s for {what}\n{children.tails()}")


def _produce(
    options: DemoOptions,
    queries: Dataset,
    config: Config,
    children: Children,
    progress: DemoProgress,
    show: Show,
) -> None:
    sender = Sender(for_librdkafka(config.broker), Topics(config.topics.prefix).queries)
    tenants = TENANTS if options.limiting == "overlapping" else (None,)
    lines = (
        Line(
            row,
            id.encode(),
            encode(Query(id=id, prompt=prompt, tenant=tenants[row % len(tenants)])),
        )
        for row, (id, prompt) in enumerate(zip(queries.ids, queries.prompts, strict=True))
    )
    shown = 0.0
    for _ in paced(lines, options.rate, sender):
        progress.poll()
        if time.monotonic() - shown > LOOK:
            children.check()
            show(sender.sent, len(queries), progress)
            shown = time.monotonic()
    sender.flush()


def _finish(
    queries: Dataset, children: Children, progress: DemoProgress, say: Say, show: Show
) -> None:
    """Wait until nothing can change any more, and say what is waited for.

    Raises:
        DemoError: nothing has changed for long.
    """
    before, changed, said = progress.counts(), time.monotonic(), False
    while (awaited := progress.awaited(queries.ids)) is not None:
        if time.monotonic() - changed > PATIENT and not said:
            say(f"waiting: {awaited}")
            said = True
        children.check()
        progress.poll(LOOK)
        show(len(queries), len(queries), progress)
        if (now := progress.counts()) != before:
            before, changed, said = now, time.monotonic(), False
        elif time.monotonic() - changed > (silence := SILENCE + progress.calm):
            raise DemoError(
                f"nothing has changed for {silence:.0f} s, and not all queries have finished: "
                f"{awaited}; {now}\n{children.tails()}"
            )
    show(len(queries), len(queries), progress)
