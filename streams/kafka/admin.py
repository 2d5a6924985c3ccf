"""Creates topics, and waits until they are usable."""

from __future__ import annotations

import time
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streams.kafka.errors import BrokerError

CLUSTER_ID = "mockCluster"
"""Prefix of an embedded broker's cluster id."""
TIMEOUT = 30.0
"""Seconds that a request to create topics may take."""
ANSWER = 5.0
"""Seconds in which a reachable broker answers."""


def make(admin: AdminClient, orders: Sequence[NewTopic], *, or_find: bool = False) -> None:
    """Create topics; return when every partition has a leader.

    Args:
        admin: the broker's admin client.
        orders: the topics, with their settings.
        or_find: accept a topic that exists already.

    Raises:
        BrokerError: for the first topic that cannot be created, or for leaders that are missing
            after `TIMEOUT`.
        KafkaException: no broker answers.
    """
    if not orders:
        return
    # An embedded broker would leave the request without an answer.
    if is_embedded(admin):
        raise BrokerError("an embedded broker has only the topics that it was started with")
    for name, made in admin.create_topics(list(orders)).items():
        try:
            made.result(TIMEOUT)
        except KafkaException as failure:
            error = failure.args[0]
            if not (or_find and error.code() == KafkaError.TOPIC_ALREADY_EXISTS):
                raise BrokerError(f"cannot make topic {name!r}: {error.str()}") from None
    deadline = time.monotonic() + TIMEOUT
    names = [order.topic for order in orders]
    while leaderless := _leaderless(admin, names):
        if time.monotonic() > deadline:
            raise BrokerError(f"no leaders after {TIMEOUT:.0f} s for: {', '.join(leaderless)}")
        time.sleep(0.05)


def is_embedded(admin: AdminClient) -> bool:
    """Whether the broker is an embedded one, which has no admin API."""
    cluster: str | None = admin.list_topics(timeout=ANSWER).cluster_id
    return cluster is not None and cluster.startswith(CLUSTER_ID)


def _leaderless(admin: AdminClient, names: Sequence[str]) -> list[str]:
    known = admin.list_topics(timeout=ANSWER).topics
    return [
        name
        for name in names
        if name not in known
        or not known[name].partitions
        or any(partition.leader < 0 for partition in known[name].partitions.values())
    ]
