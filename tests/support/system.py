"""A whole Sluice on a broker, for tests: topics, index, configuration, processes, answers.

Processes are real ones (`sluice route`, `sluice work`), so they can be killed. Every wait is for
a condition; it fails at once, with the end of the logs, where a process ends that should not.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import orjson
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from router.evaluation.datasets import Dataset, write_jsonl
from router.evaluation.workload import synthesize
from router.models.pools import served
from streams.brokers import Broker
from streams.brokers.embedded import EmbeddedBroker
from streams.kafka.fatal import EXIT_CODE
from streams.kafka.topics import Topics, create
from streams.state.changelog import last_states
from streams.state.rows import State
from tests.support.answers import Answers
from tests.support.child import Child
from tests.support.command import run
from tests.support.patience import PATIENCE
from tests.support.records import Record, Records, trace

MODELS = ("mistral-7b", "mixtral-8x7b", "gpt-4-1106")


@dataclass
class System:
    """Sluice under one topic prefix. Use as a context: whatever happens, its processes end.

    size: queries of the workload; past: of the history; plenty: by how much budgets are larger than
    the protocol's; settings: keys by section, over those here; tenants: of the queries, in turn.
    """

    broker: Broker
    folder: Path
    prefix: str
    size: int = 300
    past: int = 500
    partitions: int = 3
    model_partitions: int = 1
    store: str = "memory"
    models: tuple[str, ...] = MODELS
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    seed: int = 0
    plenty: float = 1.0
    tenants: tuple[str | None, ...] = (None,)
    children: dict[str, Child] = field(default_factory=dict)
    sent: dict[str, bytes] = field(default_factory=dict)
    """By id, the bytes of every query that `produce` has handed over."""

    def __post_init__(self) -> None:
        everything = self.size + self.past
        dataset = synthesize(everything, self.seed).with_models(self.models)
        self.history, self.queries = dataset.split(self.size / everything, self.seed)
        self.limits = _limits(self.history, self.queries, self.plenty)
        self.topics = Topics(self.prefix)
        self.group = f"{self.prefix}router"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = self.folder / "sluice.toml"
        self._answers: list[Answers] = []
        self._threads: list[threading.Thread] = []
        self._enough = threading.Event()
        self.superseded = 0
        """How many routers have ended because another process had taken over from them."""
        self._decided: set[str] = set()
        self._receipts = 0

    def __enter__(self) -> Self:
        planned = self.topics.planned(self.served, self.partitions, self.model_partitions)
        self.counts = {topic.name: topic.partitions for topic in planned}
        if isinstance(self.broker, EmbeddedBroker):
            self.broker.create(self.counts)
        else:
            create(AdminClient({"bootstrap.servers": self.broker.servers}), planned)
        self.config.write_text(self._toml())
        self._build_index()
        self.records = Records(self.broker.servers, self.counts)
        self.producer = Producer(
            {
                "bootstrap.servers": self.broker.servers,
                "enable.idempotence": True,
                "linger.ms": 2,
                "compression.type": "lz4",
                "message.max.bytes": 4_000_000,
                "log_level": 0,
            }
        )
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        for child in self.children.values():
            child.kill()
        for child in self.children.values():
            child.process.wait()
        self.enough()
        self.stop_answers()
        for thread in self._threads:
            thread.join()
        self.records.close()
        if error is not None:
            for child in self.children.values():
                print(child.tail())

    @property
    def served(self) -> list[str]:
        """By what names queries reach workers: those of the models, and of their pools."""
        pools = (each.removeprefix("models.").split(".pools.") for each in self.settings)
        return [*self.models, *(served(orjson.loads(m), *pool) for m, *pool in pools if pool)]

    def start_router(self, name: str) -> Child:
        """Start `sluice route --name NAME`; again after its end, it continues on its files."""
        return self._start(name, "route", "--config", str(self.config), "--name", name)

    def start_worker(self, name: str, *models: str, latency: float = 0.0) -> Child:
        """Start `sluice work` for models (all, where none is named) with recorded outcomes.

        latency: median seconds of an answer.
        """
        slow = ("--latency-median", str(latency)) if latency else ()
        source = ("--config", str(self.config), "--dataset", str(self.dataset))
        return self._start(name, "work", *(models or self.models), *source, *slow)

    def run(self, name: str, *arguments: str) -> Child:
        """Start any other command of `sluice` beside the routers."""
        return self._start(name, *arguments)

    def sluice(self, *arguments: object, code: int = 0) -> str:
        """Run a command to its end, and return what it says. code: with which it must end."""
        found, *said = run(*arguments, "--config", self.config, broker=self.broker.servers)
        assert found == code, "".join(said)
        return "".join(said)

    def verify(self) -> None:
        """Take every decision again and audit the ledger: all must come out as they were."""
        self.sluice("replay", "--verify")
        self.sluice("audit")

    def kill(self, name: str) -> None:
        """End a process as a crash does (SIGKILL)."""
        self.children[name].end(signal.SIGKILL)

    def stop(self, name: str) -> int:
        """End a process in order (SIGTERM). Returns its exit code."""
        return self.children[name].end(signal.SIGTERM)

    def answer(self, twice: float = 0.0, *models: str) -> Answers:
        """Answer routed queries from a thread of this process: of these models, or of all that
        there are. twice: see `Answers`."""
        topics = [self.topics.routed(name) for name in models or self.served]
        group, results = f"{self.prefix}answers{len(self._answers)}", self.topics.results
        answers = Answers(
            self.broker.servers, topics, results, group, self.outcomes(), twice, self.seed
        )
        self._answers.append(answers)
        return answers

    def joined(self, model: str, limit: int) -> None:
        """Know of a model that was added at run time. limit: nano-units."""
        self.models += (model,)
        self.limits.append(limit)
        dataset = synthesize(self.size + self.past, self.seed).with_models(self.models)
        self.queries = dataset.split(self.size / (self.size + self.past), self.seed)[1]
        self.counts[self.topics.routed(model)] = 1
        self.records.close()
        self.records = Records(self.broker.servers, self.counts)

    def stop_answers(self) -> None:
        """Stop what `answer` started."""
        for answers in self._answers:
            answers.stop()
        self._answers.clear()

    def outcomes(self) -> dict[str, dict[str, tuple[float, int]]]:
        """Score and cost (nano-units) by query id and model."""
        scores, costs = self.queries.scores.tolist(), self.queries.costs.tolist()
        return {
            id: {m: (scores[i][j], int(costs[i][j])) for j, m in enumerate(self.models)}
            for i, id in enumerate(self.queries.ids)
        }

    def members(self) -> list[set[int]]:
        """Partitions of `queries` by member of the routers' group (a real Kafka tells them); of
        none while the broker does not answer."""
        admin = AdminClient({"bootstrap.servers": self.broker.servers, "log_level": 0})
        try:
            group = admin.describe_consumer_groups([self.group])[self.group].result(10.0)
        except (TimeoutError, KafkaException):
            return []
        return [
            {
                p.partition
                for p in member.assignment.topic_partitions
                if p.topic == self.topics.queries
            }
            for member in group.members
        ]

    def wait_members(self, count: int) -> None:
        """Wait until so many routers share the partitions, each with one at least."""
        everything = set(range(self.partitions))

        def shared() -> bool:
            owned = self.members()
            together = set().union(*owned)
            return len(owned) == count and all(owned) and together == everything

        self.wait(f"{count} routers that share the partitions", shared)

    # Messages

    def produce(
        self, first: int = 0, last: int | None = None, rate: float = 0.0, wait: bool = True
    ) -> None:
        """Send queries `first` to `last` of the workload. rate: per second, 0 is at once; wait:
        for the broker's acknowledgement."""
        began = time.monotonic()
        for count, row in enumerate(range(first, self.size if last is None else last)):
            id, prompt = self.queries.ids[row], self.queries.prompts[row]
            asked = {"id": id, "prompt": prompt, "tenant": self.tenants[row % len(self.tenants)]}
            data = orjson.dumps({name: value for name, value in asked.items() if value is not None})
            self.sent[id] = data
            self.send(self.topics.queries, data, id.encode(), headers=trace(id))
            if self._enough.is_set():
                break
            if rate and (early := began + count / rate - time.monotonic()) > 0:
                time.sleep(early)
        if wait:
            self.flush()

    def produce_meanwhile(self, first: int = 0, last: int | None = None, rate: float = 0.0) -> None:
        """`produce` from a thread; `produced` waits for its end."""
        thread = threading.Thread(target=self.produce, args=(first, last, rate), daemon=True)
        self._threads.append(thread)
        thread.start()

    def enough(self) -> None:
        """Let `produce_meanwhile` end before its last query."""
        self._enough.set()

    def produced(self) -> bool:
        """Whether all that `produce_meanwhile` was asked to send is acknowledged."""
        return not any(thread.is_alive() for thread in self._threads)

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int = -1,
        headers: Iterable[tuple[str, bytes]] = (),
    ) -> None:
        """Hand one record to the producer; `flush` waits for all."""
        self.producer.produce(topic, value, key, partition, headers=list(headers))
        self.producer.poll(0)

    def flush(self) -> None:
        """Wait until the broker has acknowledged everything sent."""
        assert self.producer.flush(120.0) == 0, "the broker does not acknowledge"

    def read(self, topic: str) -> list[Record]:
        """All records of a topic, to its end now."""
        return self.records.of(topic)

    def decided(self) -> set[str]:
        """Ids that have a receipt."""
        receipts = self.read(self.topics.receipts)
        self._decided |= {record.json()["id"] for record in receipts[self._receipts :]}
        self._receipts = len(receipts)
        return self._decided

    # Waiting

    def wait(self, what: str, condition: Callable[[], bool], timeout: float = PATIENCE) -> float:
        """Wait until `condition` holds. Returns the seconds it took.

        Raises AssertionError, with the ends of all logs, after `timeout` seconds or where a
        process has ended that was not told to.
        """
        began = time.monotonic()
        while not condition():
            self.look_after(what)
            for answers in self._answers:
                if answers.error is not None:
                    raise AssertionError(f"answers ended, awaiting {what}") from answers.error
            if time.monotonic() - began > timeout:
                raise AssertionError(f"after {timeout:.0f} s still waiting for: {what}")
            time.sleep(0.05)
        return time.monotonic() - began

    def look_after(self, what: str) -> None:
        """Do as a supervisor does: start a process again that has ended because another one has
        superseded it, or because it found no broker. Raises AssertionError where a process has
        ended otherwise, unasked."""
        for child in list(self.children.values()):
            if child.stopping or (code := child.process.poll()) is None:
                continue
            words = child.last_words()
            superseded = code == EXIT_CODE and "Superseded" in words
            if not superseded and "no broker answers" not in words:
                raise AssertionError(f"{child.name} ended with {code}, awaiting {what}")
            self.superseded += superseded
            self._start(child.name, *child.arguments)

    def wait_decided(self) -> float:
        """Wait until every query sent so far has a receipt."""
        self.wait("the producer", self.produced)
        return self.wait("a receipt for each query", lambda: self.decided() >= set(self.sent))

    def wait_settled(self) -> None:
        """Wait until every query is decided, and no partition has anything reserved."""
        self.wait_decided()
        self.wait("all reservations to end", self._drained)

    def states(self) -> dict[int, State]:
        """The last state record of each partition that has one."""
        return last_states(self.read(self.topics.changelog))

    def _drained(self) -> bool:
        """No open reservation, in a state of each partition that covers its queries."""
        ends = {r.partition: r.offset for r in self.read(self.topics.queries)}
        states = self.states()
        return all(
            number in states
            and states[number].queries.decided >= end
            and not any(one.reserved for one in states[number].accounts.values())
            for number, end in ends.items()
        )

    # Making it

    def _start(self, name: str, *arguments: str) -> Child:
        known = self.children.get(name)
        assert known is None or known.process.poll() is not None, f"{name} is running"
        child = self.children[name] = Child.start(name, arguments, self.folder, self.broker.servers)
        return child

    def _build_index(self) -> None:
        self.dataset = self.folder / "queries.jsonl.gz"
        write_jsonl(self.queries, self.dataset)
        write_jsonl(self.history, self.folder / "history.jsonl.gz")
        self.sluice("index", "build", "--history", self.folder / "history.jsonl.gz")

    def _toml(self) -> str:
        sections: dict[str, dict[str, object]] = {
            "topics": {
                "prefix": self.prefix,
                "partitions": self.partitions,
                "model_partitions": self.model_partitions,
            },
            "policy": {"expected_queries": self.size, "resolve_every": 100},
            "reservation": {"mode": "quantile"},
            "index": {"path": str(self.folder / "index")},
            "router": {
                "id": self.group,
                "store": self.store,
                "data_dir": str(self.folder / "data"),
            },
        }
        for model, limit in zip(self.history.catalog().models, self.limits, strict=True):
            sections[f'models."{model.name}"'] = {
                "input_price": "0",
                "output_price": "0.001",  # one nano-unit a token: costs are numbers of tokens
                "max_output_tokens": model.max_output_tokens,
                "context": model.context,
                "budget.limit": f"{limit / 1e9:.9f}",
            }
        for name, keys in self.settings.items():
            sections.setdefault(name, {}).update(keys)
        return "\n".join(
            "\n".join(
                [
                    f"[{name}]",
                    *(f"{key} = {orjson.dumps(value).decode()}" for key, value in keys.items()),
                ]
            )
            for name, keys in sections.items()
        )


def _limits(history: Dataset, queries: Dataset, plenty: float) -> list[int]:
    """Each model's limit: as much in all as the cheapest model alone would cost for every query,
    in parts ∝ √(mean score / mean cost) of the history (the paper's protocol)."""
    weight = np.sqrt(history.scores.mean(axis=0) / history.costs.mean(axis=0))
    total = plenty * queries.costs.sum(axis=0).min()
    limits: list[int] = (total * weight / weight.sum()).astype(np.int64).tolist()
    return limits
