"""Creates topics, and waits until they are usable."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streams.kafka.errors import BrokerError
from streams.kafka.waiting import is_not_yet, until_answered

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
    tried: set[str] = set()
    until_answered("making topics", lambda: _order(admin, orders, or_find, tried), TIMEOUT)
    names = [order.topic for order in orders]
    until_answered(
        "awaiting the leaders of new topics", lambda: require_leaders(admin, names), TIMEOUT
    )


def is_embedded(admin: AdminClient) -> bool:
    """Whether the broker is an embedded one, which has no admin API."""
    cluster: str | None = admin.list_topics(timeout=ANSWER).cluster_id
    return cluster is not None and cluster.startswith(CLUSTER_ID)


def no_topic(*names: str) -> str:
    """Return what to say where the broker lacks topics that a command needs."""
    return f"there is no topic {' or '.join(names)}; make it with: sluice topics create"


def _order(admin: AdminClient, orders: Sequence[NewTopic], or_find: bool, tried: set[str]) -> None:
    """Ask for topics. tried: those that an earlier attempt may have made, with its answer lost."""
    asked = admin.create_topics(list(orders), request_timeout=TIMEOUT)
    for name, made in asked.items():
        try:
            made.result(TIMEOUT)
        except KafkaException as failure:
            error = failure.args[0]
            found = error.code() == KafkaError.TOPIC_ALREADY_EXISTS
            if found and (or_find or name in tried):
                continue
            if is_not_yet(failure):
                tried.update(asked)
                raise
            raise BrokerError(f"cannot make topic {name!r}: {error.str()}") from None


def require_leaders(admin: AdminClient, names: Sequence[str]) -> None:
    """Raise KafkaException while a partition of these topics has no leader."""
    known = admin.list_topics(timeout=ANSWER).topics
    leaderless = [
        name
        for name in names
        if name not in known
        or not known[name].partitions
        or any(partition.leader < 0 for partition in known[name].partitions.values())
    ]
    if leaderless:
        none = f"no leader yet of: {', '.join(leaderless)}"
        raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, none))
