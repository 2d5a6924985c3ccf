"""A stand-in for router and workers: answers records of `queries` as a test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Consumer, Producer

from schemas import Query, Receipt, Rejected, Result, Source
from schemas.result import Failure, Usage
from schemas.wire import Invalid, decode, encode
from streams.brokers import Broker
from streams.config.settings import Config
from streams.kafka.topics import Topics

Message = Receipt | Rejected | Result
Rule = Callable[[Query, Source], Sequence[Message]]
"""What becomes of a query: the messages that are published for it, in order."""


def completion(text: str, model: str = "small") -> dict[str, Any]:
    """A model's answer in OpenAI's form."""
    message = {"role": "assistant", "content": text}
    return {
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


def answered(query: Query, source: Source, model: str = "small", **fields: Any) -> Result:
    """A result of 3 and 2 tokens that repeats the query."""
    return Result(
        id=query.id,
        model=model,
        **{
            "decision_id": f"{source.topic}-{source.partition}-{source.offset}",
            "status_code": 200,
            "usage": Usage(prompt_tokens=3, completion_tokens=2),
            "response": completion(query.text(), model),
            **fields,
        },
    )


def failed(query: Query, source: Source, status: int, code: str, words: str) -> Result:
    """A result without an answer."""
    failure = Failure(code=code, message=words)
    return answered(
        query, source, status_code=status, usage=None, cost=0, response=None, error=failure
    )


def decided(query: Query, source: Source, decision: Any, reason: str) -> Receipt:
    """A receipt."""
    return Receipt(
        id=query.id,
        decision_id=f"{source.topic}-{source.partition}-{source.offset}",
        decision=decision,
        reason=reason,
        policy="primal-dual",
        source=source,
        decided_at=1.0,
    )


def rejected(query: Query, source: Source, code: Any, reason: str, field: str | None) -> Rejected:
    """A rejection of the record at `source`."""
    return Rejected.of(Invalid(code, reason, field), encode(query), source)


class StandIn:
    """Runs in a thread while the context is open. `seen` are the queries that came, in order."""

    def __init__(self, broker: Broker, config: Config, rule: Rule | None = None) -> None:
        self.topics = Topics(config.topics.prefix)
        self.rule: Rule = rule or (lambda query, source: [answered(query, source)])
        self.seen: list[Query] = []
        self._servers = broker.servers
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> StandIn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._servers,
                "group.id": f"{self.topics.prefix}stand-in",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
                "log_level": 0,
            }
        )
        producer = Producer({"bootstrap.servers": self._servers, "linger.ms": 1})
        places = {Result: self.topics.results, Rejected: self.topics.rejected}
        consumer.subscribe([self.topics.queries])
        while not self._stopped.is_set():
            message = consumer.poll(0.05)
            if message is None or message.error() is not None:
                continue
            query = decode(Query, message.value())
            source = Source(self.topics.queries, message.partition() or 0, message.offset() or 0)
            self.seen.append(query)
            for each in self.rule(query, source):
                topic = places.get(type(each), self.topics.receipts)
                producer.produce(topic, encode(each), message.key())
            producer.flush(5)
        consumer.close()
