"""Deletes a deployment's topics, with the consumer groups that read nothing else."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams.kafka.admin import ANSWER, TIMEOUT
from streams.kafka.errors import BrokerError
from streams.kafka.groups import Group
from streams.kafka.topics import Topic, partition_counts
from streams.kafka.waiting import is_not_yet, until_answered

_GONE = frozenset((KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND))


def deployed(admin: AdminClient, topics: Sequence[Topic], routed: str) -> list[str]:
    """Return the names of a deployment's topics that the broker has, sorted.

    Args:
        admin: the broker's admin client.
        topics: those that the configuration asks for.
        routed: what the names of models' topics begin with: models that were added at run time, or
            are no longer configured, have theirs, too.

    Raises:
        KafkaException: no broker answers.
    """
    planned = {topic.name for topic in topics}
    return sorted(
        name for name in partition_counts(admin) if name in planned or name.startswith(routed)
    )


def delete_topics(admin: AdminClient, topics: Collection[str], groups: Sequence[Group]) -> None:
    """Delete topics and groups; return when the broker knows the topics no longer.

    Args:
        admin: the broker's admin client.
        topics: names; those that are gone already are passed over.
        groups: those that read them; a group with members, or with offsets of other topics, stays.

    Raises:
        BrokerError: the broker refuses, or does not answer in time.
        KafkaException: no broker answers.
    """
    if topics:
        until_answered("deleting topics", lambda: _order(admin, topics), TIMEOUT)
        until_answered("awaiting their end", lambda: _require_gone(admin, topics), TIMEOUT)
    idle = [group.name for group in groups if not group.members and not group.elsewhere]
    if idle:
        until_answered("deleting consumer groups", lambda: _forget(admin, idle), TIMEOUT)


def _order(admin: AdminClient, topics: Collection[str]) -> None:
    left = sorted(set(topics) & partition_counts(admin).keys())
    if not left:
        return
    for name, done in admin.delete_topics(left, request_timeout=TIMEOUT).items():
        _pass_over_gone(f"cannot delete topic {name!r}", done)


def _forget(admin: AdminClient, groups: Sequence[str]) -> None:
    for name, done in admin.delete_consumer_groups(list(groups), request_timeout=ANSWER).items():
        _pass_over_gone(f"cannot delete consumer group {name!r}", done)


def _pass_over_gone(what: str, done: Future[None]) -> None:
    try:
        done.result(TIMEOUT)
    except KafkaException as failure:
        error = failure.args[0]
        if error.code() in _GONE:
            return
        if is_not_yet(failure):
            raise
        raise BrokerError(f"{what}: {error.str()}") from None


def _require_gone(admin: AdminClient, topics: Collection[str]) -> None:
    """Raise TimeoutError while the broker still knows one of the topics."""
    if left := sorted(set(topics) & partition_counts(admin).keys()):
        raise TimeoutError(f"still there: {', '.join(left)}")
