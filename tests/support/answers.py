"""Models for tests: a thread that answers every routed query with its recorded cost and score."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import orjson
from confluent_kafka import Consumer, Producer

from schemas import Result, Routed
from schemas.wire import decode, encode

Outcomes = Mapping[str, Mapping[str, tuple[float, int]]]
"""By query id and model: score, and cost in nano-units."""


class Answers:
    """At-least-once, as real workers are; an answer dearer than its reservation is cut.

    twice: the part of results that is sent a second time, as after a worker's crash. The same
    seed sends the same ones twice.
    """

    def __init__(
        self,
        servers: str,
        topics: Sequence[str],
        results: str,
        group: str,
        outcomes: Outcomes,
        twice: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._topics, self._results, self._outcomes = topics, results, outcomes
        self._twice, self._seed = twice, seed
        self._servers, self._group = servers, group
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)
        self.error: BaseException | None = None
        self._thread.start()

    def stop(self) -> None:
        """Commit and end; what comes later waits in its topic."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._servers,
                "group.id": self._group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "session.timeout.ms": 6000,
                "fetch.wait.max.ms": 50,
                "log_level": 0,
            }
        )
        producer = Producer(
            {"bootstrap.servers": self._servers, "linger.ms": 2, "enable.idempotence": True}
        )
        try:
            consumer.subscribe(list(self._topics))
            while not self._stopped.is_set():
                found = [m for m in consumer.consume(500, 0.1) if m.error() is None]
                for message in found:
                    self._answer(producer, decode(Routed, message.value()), message.headers())
                if found and producer.flush(60.0) == 0:
                    consumer.commit(asynchronous=True)
        except BaseException as error:
            self.error = error
            raise
        finally:
            consumer.close()

    def _answer(self, producer: Producer, routed: Routed, headers: Any) -> None:
        # A query that damage has changed may have become another one, and a good one.
        score, cost = self._outcomes.get(routed.id, {}).get(routed.model, (0.0, 0))
        if cost > routed.reserved:
            score, cost = 0.0, routed.reserved
        data = encode(
            Result(
                id=routed.id,
                decision_id=routed.decision_id,
                model=routed.model,
                status_code=200,
                cost=cost,
                score=score,
            )
        )
        times = 2 if Random(f"{self._seed}:{routed.id}").random() < self._twice else 1
        for _ in range(times):
            producer.produce(
                self._results,
                data,
                routed.id.encode(),
                partition=routed.source.partition,
                headers=headers or [],
            )


def bad_answer(routed: Routed, **changes: object) -> bytes:
    """A result for `routed` with fields changed, for tests of what must be refused."""
    fields = {
        "id": routed.id,
        "decision_id": routed.decision_id,
        "model": routed.model,
        "status_code": 200,
        "cost": 1,
    }
    return orjson.dumps({**fields, **changes})
