"""The topics on the broker: their names, partitions, cleanup and retention, as data.

`schemas.topics` describes what each topic carries; the names here follow from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewTopic

from schemas.topics import TOPICS
from streams.kafka.admin import ANSWER, TIMEOUT, is_embedded, make
from streams.kafka.errors import BrokerError
from streams.kafka.waiting import until_answered

Log = Literal["queries", "deferred"]
"""The topics whose records are decided: new queries, and those that wait."""

DAY = 86_400
RETENTION: Mapping[str, int] = {
    # Receipts and results rebuild the ledger: kept for longer than the longest budget window.
    "receipts": 35 * DAY,
    "results": 35 * DAY,
    "rejected": 30 * DAY,
    "share-reports": DAY,
    "starts": 3 * DAY,  # longer than a reservation is held for a result that does not come
}
"""Seconds that a topic with cleanup "delete" keeps its messages, where not a week."""
WEEK = 7 * DAY
COMPACTION_LAG: Mapping[str, int] = {
    # A replay re-executes decisions with the prices and commands of their time: as long as there
    # are queries.
    "prices": WEEK,
    "control": WEEK,
    # Rows that a late write of a former owner hides are written again in this time: see
    # `streams.state.ownership`. Every restart reads this much more.
    "changelog": 600,
}
"""Seconds that a compacted topic keeps every message, newer ones of its key notwithstanding."""
ONE_PARTITION = frozenset({"share-reports", "control", "prices"})
LONGEST_NAME = 249
LARGEST_MESSAGE = 8 << 20
"""Bytes. What is made of a query of 1 MiB is longer than that: a rejection holds it in base64, a
routed message its numbers written out. No query may make a message that the broker refuses."""


class TopicsError(BrokerError):
    """Topics are missing, are not as they must be, or cannot be created."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it must be.

    Attributes:
        name: with the prefix.
        partitions: their number.
        cleanup: Kafka's cleanup.policy.
        retention: seconds; None for ever.
        compaction_lag: seconds for which compaction spares a message, by the broker's clock.
        shared: whether its partitions have the numbers of the queries' partitions: then it may have
            been grown beyond `partitions`, together with all the others.
    """

    name: str
    partitions: int
    cleanup: str = "delete"
    retention: int | None = WEEK
    compaction_lag: int = 0
    shared: bool = False

    @property
    def settings(self) -> dict[str, str]:
        """The topic's settings in Kafka."""
        retention = -1 if self.retention is None else self.retention * 1000
        settings = {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(retention),
            "max.message.bytes": str(LARGEST_MESSAGE),
        }
        if self.compaction_lag:
            settings["min.compaction.lag.ms"] = str(self.compaction_lag * 1000)
            # What a paused process sends on its return is new then, whatever its record says.
            settings["message.timestamp.type"] = "LogAppendTime"
        return settings


class Topics:
    """The names of the topics, all with one prefix (for example "shop." or "").

    Size: an attribute for each topic.
    """

    def __init__(self, prefix: str = "") -> None:
        """Raise ValueError for a prefix with characters that Kafka forbids."""
        if _FORBIDDEN.search(prefix):
            raise ValueError(
                f"topic prefix {prefix!r}: only letters, digits, dots, dashes and underscores"
            )
        self.prefix = prefix
        self.queries = f"{prefix}queries"
        self.results = f"{prefix}results"
        self.starts = f"{prefix}starts"
        self.receipts = f"{prefix}receipts"
        self.deferred = f"{prefix}deferred"
        self.rejected = f"{prefix}rejected"
        self.share_reports = f"{prefix}share-reports"
        self.share_grants = f"{prefix}share-grants"
        self.control = f"{prefix}control"
        self.prices = f"{prefix}prices"
        self.changelog = f"{prefix}partitions-changelog"
        self.controller_changelog = f"{prefix}controller-changelog"
        self.batches = f"{prefix}batches"

    @property
    def logs(self) -> Mapping[str, Log]:
        """The topics whose records are decided, and which log each of them is."""
        return {self.queries: "queries", self.deferred: "deferred"}

    def routed(self, model: str) -> str:
        """The topic of one model: each character that Kafka forbids becomes a dash.

        "openai/gpt-4o:free" is read from "routed.openai-gpt-4o-free". `planned` refuses models
        whose topics Kafka could not tell apart.
        """
        return f"{self.prefix}routed.{_FORBIDDEN.sub('-', model)}"

    def planned(
        self, models: Sequence[str], partitions: int = 3, model_partitions: int = 3
    ) -> tuple[Topic, ...]:
        """All topics as they must be.

        Args:
            models: names of the models.
            partitions: of queries and of every topic that shares their partition numbers.
            model_partitions: of each model's topic: the most workers that can share its load.

        Raises:
            ValueError: two models' topics collide, or a name is too long for Kafka.
        """
        self._refuse_collisions(models)
        topics = []
        for known in TOPICS:
            cleanup = ",".join(known.cleanup)
            kept = RETENTION.get(known.name, WEEK) if "delete" in known.cleanup else None
            if known.name == "routed":
                for model in models:
                    topics.append(Topic(self.routed(model), model_partitions, cleanup, kept))
            else:
                shared = known.name not in ONE_PARTITION
                count = partitions if shared else 1
                lag = COMPACTION_LAG.get(known.name, 0)
                name = f"{self.prefix}{known.address}"
                topics.append(Topic(name, count, cleanup, kept, lag, shared))
        lag = COMPACTION_LAG["changelog"]
        topics.append(Topic(self.changelog, partitions, "compact", None, lag, shared=True))
        topics.append(Topic(self.controller_changelog, 1, "compact", None, lag))
        topics.append(Topic(self.batches, 1, "compact", None))
        for topic in topics:
            if len(topic.name) > LONGEST_NAME:
                raise ValueError(
                    f"topic name {topic.name!r} has {len(topic.name)} characters; "
                    f"Kafka takes {LONGEST_NAME}: shorten the prefix or the model's name"
                )
        return tuple(topics)

    def _refuse_collisions(self, models: Iterable[str]) -> None:
        taken: dict[str, str] = {}
        for model in models:
            # Kafka takes a dot and an underscore for the same (its metric names have no dots).
            same = self.routed(model).replace(".", "_")
            if (other := taken.setdefault(same, model)) != model:
                raise ValueError(
                    f"models {other!r} and {model!r} would share the topic "
                    f"{self.routed(model)!r}: rename one"
                )


def create(admin: AdminClient, topics: Sequence[Topic], replicas: int = -1) -> list[str]:
    """Create the topics that are missing, and return their names when all have leaders.

    Args:
        admin: the broker's admin client.
        topics: as they must be.
        replicas: copies of each partition; -1 leaves it to the cluster.

    Raises:
        TopicsError: a topic exists but is not as it must be; nothing is created then.
        BrokerError: a topic cannot be created.
        KafkaException: no broker answers.
    """
    known = partition_counts(admin)
    topics = _as_grown(topics, known)
    if wrong := differences(admin, [topic for topic in topics if topic.name in known]):
        raise TopicsError("\n".join(wrong))
    missing = {topic.name: topic for topic in topics if topic.name not in known}
    if not missing:
        return []
    orders = [
        NewTopic(topic.name, topic.partitions, replication_factor=replicas, config=topic.settings)
        for topic in missing.values()
    ]
    # Where somebody else was faster, `differences` sees whether they agree with us.
    make(admin, orders, or_find=True)

    def check() -> list[str]:
        """Another broker than the one asked before may not know the topics yet."""
        if absent := missing.keys() - partition_counts(admin).keys():
            what = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, f"not known: {', '.join(absent)}")
            raise KafkaException(what)
        return differences(admin, list(missing.values()))

    if wrong := until_answered("describing new topics", check, TIMEOUT):
        raise TopicsError("\n".join(wrong))
    return list(missing)


def differences(admin: AdminClient, topics: Sequence[Topic]) -> list[str]:
    """Describe, in a sentence each, where topics are missing or not as they must be.

    An embedded broker, which has no admin API, is asked for partitions only.

    Raises:
        KafkaException: no broker answers.
    """
    known = partition_counts(admin)
    present = [topic for topic in topics if topic.name in known]
    policies = _cleanup_policies(admin, [topic.name for topic in present])
    found = [f"topic {topic.name!r} is missing" for topic in topics if topic.name not in known]
    for topic in present:
        count = known[topic.name]
        if count < topic.partitions and topic.shared:
            found.append(
                f"topic {topic.name!r} has {count} partitions where the configuration says "
                f"{topic.partitions}: add partitions with `sluice topics grow --partitions "
                f"{topic.partitions}`, or change the configuration"
            )
        elif count != topic.partitions and not topic.shared:
            found.append(
                f"topic {topic.name!r} has {count} partitions where the configuration says "
                f"{topic.partitions}: change the configuration, or use another topic prefix"
            )
        policy = policies.get(topic.name, topic.cleanup)
        if set(policy.split(",")) != set(topic.cleanup.split(",")):
            found.append(
                f"topic {topic.name!r} has cleanup.policy={policy} where it must be "
                f"{topic.cleanup}: alter the topic with Kafka's own tools"
            )
    return found


def partition_counts(admin: AdminClient) -> dict[str, int]:
    """Every topic's number of partitions. Raises KafkaException where no broker answers."""
    topics = admin.list_topics(timeout=ANSWER).topics
    return {name: len(topic.partitions) for name, topic in topics.items()}


def uneven(topics: Iterable[Topic], known: Mapping[str, int]) -> str | None:
    """Say in a sentence which topics lack partitions that others of the shared ones have.

    Args:
        topics: as they must be.
        known: partitions of the broker's topics.

    Returns:
        None where all have the same number.
    """
    counts = _shared_counts(topics, known)
    most, least = max(counts.values(), default=0), min(counts.values(), default=0)
    if most == least:
        return None
    behind = ", ".join(name for name, count in counts.items() if count < most)
    ahead = next(name for name, count in counts.items() if count == most)
    return (
        f"topic {ahead!r} has {most} partitions, while only {least} are in use, for not all topics "
        f"have the others ({behind}): finish with `sluice topics grow --partitions {most}`"
    )


def _as_grown(topics: Sequence[Topic], known: Mapping[str, int]) -> list[Topic]:
    """Return topics with the number of partitions to which the shared ones have been grown."""
    most = max(_shared_counts(topics, known).values(), default=0)
    return [
        replace(topic, partitions=max(topic.partitions, most)) if topic.shared else topic
        for topic in topics
    ]


def _shared_counts(topics: Iterable[Topic], known: Mapping[str, int]) -> dict[str, int]:
    """Return the partitions of the shared ones of these topics, as far as the broker has them."""
    return {
        topic.name: known[topic.name] for topic in topics if topic.shared and topic.name in known
    }


def _cleanup_policies(admin: AdminClient, names: Sequence[str]) -> dict[str, str]:
    if not names or is_embedded(admin):
        return {}
    asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    return {
        resource.name: answer.result(TIMEOUT)["cleanup.policy"].value
        for resource, answer in admin.describe_configs(asked, request_timeout=TIMEOUT).items()
    }


_FORBIDDEN = re.compile(r"[^A-Za-z0-9._-]")
