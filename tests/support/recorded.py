"""What the tests of single parts share: an outbox that keeps what leaves, and one partition."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import orjson
from confluent_kafka import KafkaError, KafkaException

from router.budget.ledger import Ledger
from router.estimation.embedders import make_embedder
from router.estimation.estimator import Estimator
from router.estimation.history import History
from router.estimation.index.exact import ExactIndex
from router.estimation.scorer import Mode, QueryScorer
from router.models.catalog import Model, ModelCatalog
from schemas import Rejected
from schemas.fields import Source
from schemas.receipt import Decision, Receipt
from schemas.wire import decode
from streams.config.settings import Broker
from streams.kafka.logs import Logs, Record
from streams.kafka.producer import Batch, Headers, Outbox
from streams.kafka.topics import Topics
from streams.metrics.router import Live, Metrics
from streams.state.ownership import Ownership
from streams.state.partition import Partition
from streams.state.rows import STATE_BYTES, STATE_KEY, Log, Row, State, row_key
from streams.state.store import MemoryStore, PartitionStore, Rows

TOPICS = Topics()
FLEET = ModelCatalog([Model("small", 1_000_000, 2_000_000), Model("large", 3_000_000, 4_000_000)])
"""A token costs 1 to 4 nano-units."""
SHARES = (1_000, 500)


class Sent(NamedTuple):
    """A record that left."""

    topic: str
    value: bytes | None
    key: bytes | None
    partition: int
    headers: Headers

    def json(self) -> Any:
        """The value as JSON."""
        return orjson.loads(self.value or b"null")


class RecordedBatch(Batch):
    def __init__(self, outbox: RecordedOutbox) -> None:
        self._outbox = outbox
        self._records: list[Sent] = []

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int = -1,
        headers: Headers = (),
    ) -> None:
        self._records.append(Sent(topic, value, key, partition, headers))

    async def delivered(self) -> int:
        for sent in self._records:
            if sent.topic == self._outbox.refuses:
                raise KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT))
            self._outbox.sent.append(sent)
        return len(self._outbox.sent) - 1 if self._records else -1


class Unfenced(Ownership):
    """Writes as an owner does whom nobody follows, at whatever offsets."""

    def __init__(self, store: PartitionStore, outbox: Outbox, number: int, changelog: str) -> None:
        super().__init__(changelog, number, store, outbox, Logs(Broker()))

    async def _append(self, rows: Rows) -> None:
        self.store.write(self.number, rows, await self._send(rows))


class RecordedOutbox(Outbox):
    """Takes every record, in order, but for those of a topic that it `refuses`."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.refuses: str | None = None

    def batch(self) -> Batch:
        return RecordedBatch(self)

    def of(self, topic: str) -> list[Sent]:
        """What was sent to a topic."""
        return [sent for sent in self.sent if sent.topic == topic]

    def topics(self) -> list[str]:
        """The topics in the order of what was sent, runs of the same one taken together."""
        names = [sent.topic for sent in self.sent]
        return [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]

    def rejected(self) -> list[Rejected]:
        """All rejections."""
        return [decode(Rejected, sent.value) for sent in self.of(TOPICS.rejected)]

    def states(self) -> list[State]:
        """The state records in the changelog."""
        found = [sent.value for sent in self.of(TOPICS.changelog) if sent.key == STATE_KEY]
        return [decode(State, value, STATE_BYTES) for value in found]


def new_metrics() -> Metrics:
    """Counts of a process that nobody asks."""
    return Metrics(FLEET.names, lambda: Live([], 0, {}, 0, 0))


def recovered(changelog: Sequence[Sent], number: int = 0) -> MemoryStore:
    """The storage that is recovered from a partition of a changelog."""
    store = MemoryStore()
    records = [
        Record(TOPICS.changelog, number, offset, 0, sent.key, sent.value, ())
        for offset, sent in enumerate(changelog)
    ]
    store.take(number, records)
    return store


def new_ledger(shares: tuple[int, ...] = SHARES) -> Ledger:
    return Ledger(FLEET.names, np.array(shares))


def open_partition(
    outbox: Outbox,
    store: PartitionStore,
    number: int = 0,
    ledger: Ledger | None = None,
    changelog: str = TOPICS.changelog,
) -> Partition:
    """Load a partition from its store, as a process does that has just claimed it."""
    ownership = Unfenced(store, outbox, number, changelog)
    return Partition(new_ledger() if ledger is None else ledger, ownership)


def receipt(
    offset: int,
    model: str | None = "small",
    reserved: int = 100,
    decision: Decision | None = None,
    log: Log = "queries",
    at: float = 1000.0,
) -> Receipt:
    """The receipt of query "q<offset>"; deferred where there is no model."""
    return Receipt(
        id=f"q{offset}",
        decision_id=f"{log}/0/{offset}",
        decision=decision or ("deferred" if model is None else "routed"),
        reason="",
        policy="test",
        source=Source(log, 0, offset),
        decided_at=at,
        model=model,
        reserved=reserved if model else 0,
    )


async def decide(partition: Partition, *receipts: Receipt) -> None:
    """Reserve and write ahead, as a router does with one chunk of `queries`."""
    for one in receipts:
        if one.model is not None:
            model = partition.ledger.index[one.model]
            partition.reserve(np.array([model]), np.array([one.reserved]))
    rows = {one.source.offset: Row(receipt=one) for one in receipts}
    partition.record_decisions("queries", rows)
    await partition.commit({row_key("queries", offset): row for offset, row in rows.items()})


def record(offset: int, value: bytes | None, topic: str = "queries", key: bytes = b"k") -> Any:
    """A record as Faust hands it over."""
    return SimpleNamespace(
        topic=topic, partition=0, offset=offset, key=key, value=value, headers=[]
    )


def new_core(mode: Mode = "max") -> QueryScorer:
    """A history in which "large" is better than "small" whatever is asked."""
    random = np.random.default_rng(0)
    embeddings = random.normal(size=(40, 2)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    history = History(
        [f"past {i}" for i in range(40)],
        embeddings,
        random.uniform(size=(40, 2)) * 0.1 + [0.4, 0.8],
        random.uniform(50, 100, (40, 2)) * [1, 3],
    )
    estimator = Estimator.fit(history, ExactIndex(embeddings), ["text"] * 40)
    return QueryScorer(make_embedder("given", dimension=2), estimator, FLEET, mode)


CORE = new_core()


def query(id: str, **fields: Any) -> bytes:
    """A query with an embedding, which may be answered in 10 tokens."""
    return orjson.dumps({"id": id, "prompt": "?", "max_tokens": 10, "embedding": [1, 0], **fields})
