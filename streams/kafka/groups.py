"""The consumer groups that read a deployment's topics: their members and committed offsets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.kafka.admin import ANSWER, TIMEOUT
from streams.kafka.waiting import until_answered

Offsets = Mapping[str, Mapping[int, int]]
"""Committed offsets by topic and partition."""


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group, as far as it concerns some topics.

    Attributes:
        name: its id.
        members: processes that are in it now.
        offsets: what it has committed of these topics.
        reads: those of the topics that are assigned to its members, or that it has offsets of.
        elsewhere: whether it has committed offsets of other topics, too.
    """

    name: str
    members: int
    offsets: Offsets
    reads: frozenset[str] = frozenset()
    elsewhere: bool = False


def groups_of(admin: AdminClient, topics: Collection[str]) -> list[Group]:
    """Return the groups that have members at, or committed offsets of, some topics.

    Args:
        admin: the broker's admin client.
        topics: names. A group that is named as one of them, as workers' are, is found
            also while its members are still joining it.

    Raises:
        BrokerError: the broker does not answer in time.
        KafkaException: it refuses.
    """
    return until_answered("asking for consumer groups", lambda: _ask(admin, topics), TIMEOUT)


def commit(admin: AdminClient, offsets: Mapping[str, Offsets]) -> None:
    """Commit offsets for groups without members.

    Args:
        admin: the broker's admin client.
        offsets: by group.

    Raises:
        BrokerError: the broker does not answer in time.
        KafkaException: it refuses, as where a group has members.
    """
    for name, by_topic in offsets.items():
        places = [
            TopicPartition(topic, number, offset)
            for topic, numbers in by_topic.items()
            for number, offset in numbers.items()
        ]
        if places:
            order = partial(_commit, admin, name, places)
            until_answered(f"committing offsets of {name}", order, TIMEOUT)


def _commit(admin: AdminClient, group: str, places: Sequence[TopicPartition]) -> None:
    wanted = ConsumerGroupTopicPartitions(group, list(places))
    asked = admin.alter_consumer_group_offsets([wanted], request_timeout=ANSWER)
    for place in asked[group].result(TIMEOUT).topic_partitions:
        if place.error is not None:
            raise KafkaException(place.error)


def _ask(admin: AdminClient, topics: Collection[str]) -> list[Group]:
    listed = admin.list_consumer_groups(request_timeout=ANSWER).result(TIMEOUT)
    if listed.errors:
        raise listed.errors[0]
    names = sorted(found.group_id for found in listed.valid)
    if not names:
        return []
    described = admin.describe_consumer_groups(names, request_timeout=ANSWER)
    committed = {
        name: admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(name)], request_timeout=ANSWER
        )[name]
        for name in names
    }
    wanted, groups = frozenset(topics), []
    for name in names:
        members = described[name].result(TIMEOUT).members
        places = committed[name].result(TIMEOUT).topic_partitions
        known = [place for place in places if place.offset >= 0]
        own: dict[str, dict[int, int]] = {}
        for place in known:
            if place.topic in wanted:
                own.setdefault(place.topic, {})[place.partition] = place.offset
        reads = (_assigned(members) & wanted) | own.keys()
        if reads or (members and name in wanted):
            elsewhere = any(place.topic not in wanted for place in known)
            groups.append(Group(name, len(members), own, frozenset(reads), elsewhere))
    return groups


def _assigned(members: Sequence[Any]) -> set[str]:
    """Return the topics that are assigned to a group's members."""
    return {place.topic for each in members for place in each.assignment.topic_partitions}
