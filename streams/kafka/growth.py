"""Adds partitions to the topics whose partitions have the numbers of the queries' partitions.

Queries get theirs last: until then nothing can come to a new partition. Routers use a new number
when all of these topics have it (`streams.runtime.partition_count`), so a kill in between changes
nothing, and the next call goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from streams.kafka.admin import TIMEOUT, is_embedded, no_topic, require_leaders
from streams.kafka.errors import BrokerError
from streams.kafka.topics import Topic, TopicsError, partition_counts
from streams.kafka.waiting import is_not_yet, until_answered


def grow(admin: AdminClient, topics: Sequence[Topic], last: str, partitions: int) -> list[str]:
    """Give the shared ones of these topics a number of partitions.

    Args:
        admin: the broker's admin client.
        topics: a deployment's; those that are not shared stay as they are.
        last: name of the topic that grows after all others.
        partitions: the number; topics that have it already stay as they are.

    Returns:
        The names of the topics that have grown, in order.

    Raises:
        TopicsError: a topic is missing, or has more partitions; nothing has grown then.
        BrokerError: the broker refuses, or partitions have no leaders in time.
        KafkaException: no broker answers.
    """
    if is_embedded(admin):
        raise BrokerError("an embedded broker has only the partitions that it was started with")
    names = sorted((topic.name for topic in topics if topic.shared), key=lambda name: name == last)
    known = partition_counts(admin)
    if missing := [name for name in names if name not in known]:
        raise TopicsError(no_topic(*missing))
    if larger := [name for name in names if known[name] > partitions]:
        raise TopicsError(
            f"topic {larger[0]!r} has {known[larger[0]]} partitions already, more than "
            f"{partitions}: Kafka cannot take partitions away"
        )
    grown = [name for name in names if known[name] < partitions]
    for step in ([name for name in grown if name != last], [last] if last in grown else []):
        order = partial(_order, admin, step, partitions)
        until_answered(f"adding partitions to {', '.join(step)}", order, TIMEOUT)
    until_answered("awaiting new partitions", lambda: _there(admin, names, partitions), TIMEOUT)
    return grown


def _order(admin: AdminClient, names: Collection[str], partitions: int) -> None:
    """Ask for partitions; what an earlier attempt, or somebody else, has added is not asked for."""
    known = partition_counts(admin)
    wanted = [NewPartitions(name, partitions) for name in names if known[name] < partitions]
    if not wanted:
        return
    for name, made in admin.create_partitions(wanted, request_timeout=TIMEOUT).items():
        try:
            made.result(TIMEOUT)
        except KafkaException as failure:
            error = failure.args[0]
            if is_not_yet(failure):
                raise
            # A broker that lags behind told of fewer than there are: `_there` sees how many.
            if error.code() != KafkaError.INVALID_PARTITIONS:
                what = f"cannot add partitions to topic {name!r}: {error.str()}"
                raise BrokerError(what) from None


def _there(admin: AdminClient, names: Sequence[str], partitions: int) -> None:
    """Raise KafkaException while a topic has too few partitions, or one of them no leader."""
    known = partition_counts(admin)
    if few := [name for name in names if known.get(name, 0) < partitions]:
        none = f"too few partitions yet: {', '.join(few)}"
        raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, none))
    require_leaders(admin, names)
