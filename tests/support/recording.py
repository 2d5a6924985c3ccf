"""A deployment's topics as a file: what a version of Sluice wrote, kept for the versions after it.

A recording is gzipped JSON lines. The first line is the `Header`; every other line is one record,
with its offset, timestamp, key, value and headers. Bytes are stored as Latin-1 text, which maps
each byte to one character and back.

To record the version that is checked out in a folder, with the harness of this one:

    python -m tests.support.recording --code CHECKOUT --out tests/data/topics-VERSION.jsonl.gz
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import msgspec
import orjson
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from schemas import Receipt, Routed
from schemas.wire import decode
from streams.brokers.embedded import EmbeddedBroker
from streams.brokers.kafka import KafkaServer
from streams.cli import main
from streams.config.settings import load
from streams.kafka.logs import Record
from streams.kafka.topics import Topics
from tests.support.answers import bad_answer
from tests.support.child import SLUICE
from tests.support.system import System

RECORDINGS = sorted((Path(__file__).parents[1] / "data").glob("topics-*.jsonl.gz"))
"""The recordings of all earlier versions."""
FOLDER = "@FOLDER@"
"""Stands in the recorded configuration for the folder that a recording is restored to."""
PREFIX = "rec."
MODELS = ("mistral-7b", "mixtral-8x7b", "gpt-4-1106")
UNANSWERED = 6
"""Queries whose model never answers: their reservations expire."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording says of itself.

    Attributes:
        version: the version of Sluice that wrote the topics.
        config: text of its sluice.toml.
        partitions: number of partitions by topic.
        index: the files of its index, by name.
        audit: what `sluice audit --json` of that version found.
        verified: what `sluice replay --verify --json` of that version found.
    """

    version: str
    config: str
    partitions: dict[str, int]
    index: dict[str, str]
    audit: dict[str, Any]
    verified: dict[str, Any]


class _Line(msgspec.Struct, frozen=True, array_like=True):
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: str | None
    value: str | None
    headers: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded deployment. records: those of one partition are in order of their offsets."""

    header: Header
    records: list[Record]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that `write` wrote."""
        with gzip.open(path, "rb") as file:
            header = msgspec.json.decode(next(file), type=Header)
            return cls(header, [_record(msgspec.json.decode(line, type=_Line)) for line in file])

    def write(self, path: Path) -> None:
        """Write it; the same recording gives the same bytes."""
        lines = [msgspec.json.encode(self.header)]
        lines += [msgspec.json.encode(_line(record)) for record in self.records]
        path.write_bytes(gzip.compress(b"\n".join(lines), 9, mtime=0))

    def of(self, topic: str, partition: int | None = None) -> list[Record]:
        """The records of a topic, or of one partition of it; without the prefix in the name."""
        return [
            record
            for record in self.records
            if record.topic == PREFIX + topic and partition in (None, record.partition)
        ]

    def restore(self, broker: EmbeddedBroker, folder: Path) -> Path:
        """Put the topics on a broker that has none of them, and configuration and index in
        `folder`. Returns the configuration's path.

        Raises AssertionError where an offset would not be the recorded one.
        """
        (folder / "index").mkdir(parents=True)
        for name, text in self.header.index.items():
            (folder / "index" / name).write_bytes(_bytes(text))
        config = folder / "sluice.toml"
        config.write_text(self.header.config.replace(FOLDER, str(folder)))
        broker.create(self.header.partitions)
        producer = Producer({"bootstrap.servers": broker.servers, "enable.idempotence": True})
        wrong: list[str] = []

        def check(wanted: int, error: Any, message: Any) -> None:
            if error is not None or message.offset() != wanted:
                wrong.append(f"{message.topic()}: {error}, {message.offset()}, not {wanted}")

        for record in self.records:
            producer.produce(
                record.topic,
                record.value,
                record.key,
                record.partition,
                timestamp=record.timestamp,
                headers=list(record.headers),
                on_delivery=partial(check, record.offset),
            )
            producer.poll(0)
        assert producer.flush(60.0) == 0
        assert not wrong, wrong[:5]
        return config


class Restored:
    """A recording on a broker, for commands of this version."""

    def __init__(self, recording: Recording, broker: EmbeddedBroker, folder: Path) -> None:
        self.recording = recording
        self.broker = broker
        self.folder = folder
        self.file = recording.restore(broker, folder / "restored")
        self.config = load(self.file, {"SLUICE_BROKER": broker.servers})
        self.topics = Topics(PREFIX)

    def sluice(self, *arguments: object) -> Result:
        """Run a command."""
        command = [*map(str, arguments), "--config", str(self.file)]
        return CliRunner().invoke(main, command, env={"SLUICE_BROKER": self.broker.servers})

    def figures(self, *arguments: object) -> tuple[Result, Any]:
        """Run a command that writes --json. Returns its result and what it wrote."""
        out = self.folder / "out.json"
        found = self.sluice(*arguments, "--json", out)
        return found, orjson.loads(out.read_bytes())

    def send(self, topic: str, value: bytes, key: bytes = b"", partition: int = 0) -> None:
        """Append one record to a topic."""
        producer = Producer({"bootstrap.servers": self.broker.servers})
        producer.produce(topic, value, key, partition)
        assert producer.flush(60.0) == 0


def _line(record: Record) -> _Line:
    return _Line(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        None if record.key is None else _text(record.key),
        None if record.value is None else _text(record.value),
        [(name, _text(value)) for name, value in record.headers],
    )


def _record(line: _Line) -> Record:
    return Record(
        line.topic,
        line.partition,
        line.offset,
        line.timestamp,
        None if line.key is None else _bytes(line.key),
        None if line.value is None else _bytes(line.value),
        [(name, _bytes(value)) for name, value in line.headers],
    )


def _text(data: bytes) -> str:
    return data.decode("latin-1")


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


# Recording


def record(code: Path, folder: Path) -> Recording:
    """Run a deployment with the code in a folder, and read all its topics.

    The workload is synthetic. It has queries that are routed, deferred, looked at again, rejected,
    sent twice, explored and never answered; results that are late, doubled and malformed; limits
    of a tenant, commands at run time, new prices, and a router that is killed.
    """
    os.environ["PYTHONPATH"] = str(code)  # for the processes of the deployment, not for this one
    settings: dict[str, dict[str, object]] = {
        "policy": {"explore": 0.1, "resolve_every": 20, "resolve_seconds": 0.2},
        "deferral": {"retry_seconds": 1},
        "reservation": {"mode": "quantile", "deadline_seconds": 5},
        "tenants.shop.limits": {MODELS[0]: "0.000600000", MODELS[1]: "0.000600000"},
        "index": {"trees": 2},
    }
    with KafkaServer(folder / "kafka") as broker:
        system = System(
            broker,
            folder / "system",
            PREFIX,
            size=120,
            past=40,
            partitions=2,
            store="rocksdb",
            models=MODELS,
            settings=settings,
        )
        with system:
            shutil.rmtree(system.folder / "index")
            history = str(system.folder / "history.jsonl.gz")
            _sluice(system, "index", "build", "--history", history)
            _run(system)
            return _read(system)


def _run(system: System) -> None:
    system.start_router("r0")
    system.answer(0.2)
    system.wait_members(1)
    system.produce(0, 40, rate=40)
    for row in range(40, 60):
        id, prompt = system.queries.ids[row], system.queries.prompts[row]
        system.sent[id] = orjson.dumps({"id": id, "prompt": prompt, "tenant": "shop"})
        system.send(system.topics.queries, system.sent[id], id.encode())
    system.kill("r0")
    for bad in (
        b"not json",
        b"\xff\xfe",
        b'{"id":"late","prompt":"x","deadline":1}',
        b'{"id":"x"}',
    ):
        system.send(system.topics.queries, bad, partition=1)
    system.start_router("r0")
    system.wait_settled()
    _sluice(system, "budget", "top-up", MODELS[0], "0.000010000")
    _sluice(system, "model", "pause", MODELS[1])
    prices = ("--input-price", "0", "--output-price", "0.001", "--limit", "0.001")
    _sluice(system, "model", "add", "gpt-3.5", *prices, "--max-output-tokens", "2000")
    system.produce(60, 80, rate=20)
    system.produce(0, 5)  # the same ids again
    _sluice(system, "model", "resume", MODELS[1])
    system.produce(80, 108, rate=20)
    system.wait("new prices", lambda: bool(system.read(system.topics.prices)))
    system.wait_settled()
    _sluice(system, "budget", "top-up", MODELS[0], "0.020000000")
    system.wait("room for what waits", lambda: _served_later(system))
    system.wait_settled()
    system.stop_answers()
    _leave_unanswered(system)
    _answer_late(system)
    system.produce(108 + UNANSWERED, 120)
    system.wait_decided()  # what is reserved last stays reserved
    assert system.stop("r0") == 0


def _served_later(system: System) -> bool:
    """Whether a query that had been deferred has been routed."""
    receipts = [decode(Receipt, one.value) for one in system.read(system.topics.receipts)]
    return any(
        receipt.decision == "routed" and receipt.source.topic == system.topics.deferred
        for receipt in receipts
    )


def _leave_unanswered(system: System) -> None:
    system.produce(108, 108 + UNANSWERED)
    system.wait_settled()


def _answer_late(system: System) -> None:
    """Send results for reservations that have expired, and one that is not a result."""
    rows = range(108, 108 + UNANSWERED)
    ids = {system.queries.ids[row] for row in rows}
    receipts = [decode(Receipt, one.value) for one in system.read(system.topics.receipts)]
    for name in system.served:
        for message in system.read(system.topics.routed(name)):
            routed = decode(Routed, message.value)
            if routed.id in ids:
                answer = bad_answer(routed, cost=routed.reserved + 3, score=0.5)
                number = routed.source.partition
                system.send(system.topics.results, answer, routed.id.encode(), number)
    assert any(receipt.id in ids and receipt.model for receipt in receipts)
    system.send(system.topics.results, b'{"id":"q"}', b"q", 0)
    system.flush()
    ends = {one.partition: one.offset for one in system.read(system.topics.results)}
    system.wait(
        "the late results", lambda: all(system.states()[n].settled >= e for n, e in ends.items())
    )


def _read(system: System) -> Recording:
    version = _sluice(system, "version", config=False).split()[1]
    found = {}
    for name, command in (("audit", ["audit"]), ("verified", ["replay", "--verify"])):
        path = system.folder / f"{name}.json"
        _sluice(system, *command, "--json", str(path))
        found[name] = orjson.loads(path.read_bytes())
    header = Header(
        version=version,
        config=system.config.read_text().replace(str(system.folder), FOLDER),
        partitions=system.counts,
        index={
            path.name: _text(path.read_bytes())
            for path in sorted((system.folder / "index").iterdir())
        },
        **found,
    )
    records = [_kept(one) for topic in sorted(system.counts) for one in system.read(topic)]
    return Recording(header, sorted(records, key=lambda one: one.timestamp))


def _kept(one: Any) -> Record:
    return Record(
        one.topic,
        one.partition,
        one.offset,
        round(one.timestamp * 1000),
        one.key,
        one.value,
        list(one.headers.items()),
    )


def _sluice(system: System, *arguments: str, config: bool = True) -> str:
    command = [SLUICE, *arguments, *(["--config", str(system.config)] if config else [])]
    environment = {**os.environ, "SLUICE_BROKER": system.broker.servers}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=system.folder
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


def record_to_file(arguments: Iterable[str] | None = None) -> None:
    """Record a deployment and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--code", type=Path, required=True, help="checkout whose code is recorded")
    parser.add_argument("--out", type=Path, required=True, help="file to write (.jsonl.gz)")
    asked = parser.parse_args(None if arguments is None else list(arguments))
    with TemporaryDirectory() as folder:
        recording = record(asked.code.resolve(), Path(folder))
    recording.write(asked.out)
    print(f"{asked.out}: {len(recording.records)} records, {asked.out.stat().st_size} bytes")


if __name__ == "__main__":
    record_to_file()
