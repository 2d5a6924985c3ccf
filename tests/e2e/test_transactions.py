"""Clients that produce in transactions: what they abort has never been there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from streams.brokers.kafka import KafkaServer
from tests.support.patience import PATIENCE
from tests.support.system import System


def transactional(broker: KafkaServer, name: str) -> Producer:
    """A producer in a transaction that has begun."""
    producer = Producer(
        {"bootstrap.servers": broker.servers, "transactional.id": name, "log_level": 0}
    )
    producer.init_transactions(PATIENCE)
    producer.begin_transaction()
    return producer


def result(routed: Any, cost: int) -> bytes:
    """A worker's answer to a routed query, at a cost of so many nano-units."""
    answered = {key: routed[key] for key in ("id", "decision_id", "model")}
    return orjson.dumps({**answered, "status_code": 200, "cost": cost})


@pytest.mark.kafka
def test_aborted_queries_and_results_do_not_count(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    """No decision follows from an aborted query. Of a decision that is answered in an aborted and
    in a committed transaction, the committed answer is charged; the audit is equal."""
    with System(kafka_broker, tmp_path, prefix, size=12, plenty=100.0, partitions=1) as system:
        producer = transactional(kafka_broker, f"{prefix}queries")
        for number in range(6):
            query = orjson.dumps({"id": f"aborted{number}", "prompt": "hello"})
            producer.produce(system.topics.queries, query, b"key", 0)
        producer.flush(PATIENCE)
        producer.abort_transaction(PATIENCE)
        system.start_router("r0")
        system.produce()
        system.wait("all decisions", lambda: len(system.decided()) >= system.size)
        routed = [
            record.json()
            for model in system.models
            for record in system.read(system.topics.routed(model))
        ]
        assert 0 < len(routed) <= system.size
        for cost, end in ((7, "abort_transaction"), (150, "commit_transaction")):
            producer = transactional(kafka_broker, f"{prefix}results")
            for each in routed:
                producer.produce(system.topics.results, result(each, cost), each["id"].encode(), 0)
            producer.flush(PATIENCE)
            getattr(producer, end)(PATIENCE)
        system.wait_settled()
        assert not [id for id in system.decided() if id.startswith("aborted")]
        assert not system.read(system.topics.rejected)
        [state] = system.states().values()
        assert sum(account[2] for account in state.accounts.values()) == 150 * len(routed)
        assert system.stop("r0") == 0
        system.sluice("audit")
