"""Makes a deployment's topics again from a backup, with the offsets that they had.

Until everything is there, all topics have the cleanup policy "delete", without a limit of time:
nothing is compacted or deleted meanwhile, and a router, which wants its changelog compacted,
refuses to start on half of a deployment. The changelog gets its own settings last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Lock

import orjson
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewTopic

from streams.backup.archive import BackupError, Manifest, read
from streams.backup.offsets import OffsetWriter
from streams.kafka.admin import TIMEOUT, make
from streams.kafka.groups import commit
from streams.kafka.logs import Record, Span
from streams.kafka.security import Secured
from streams.kafka.topic_ids import read_ids
from streams.kafka.topics import Topic
from streams.kafka.waiting import until_answered
from streams.state.rows import STATE_KEY

WRITERS = 8
"""Partitions that are filled at a time: the broker is waited for at each gap."""
UNFINISHED = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "message.timestamp.type": "CreateTime",
}
"""Settings of a topic while it is being restored."""


def restore_topics(
    folder: Path,
    manifest: Manifest,
    planned: Sequence[Topic],
    changelog: str,
    broker: Secured,
    admin: AdminClient,
    replicas: int,
    progress: Callable[[int], None] = lambda records: None,
) -> None:
    """Make all topics of a backup, with their records, and commit its groups' offsets.

    Args:
        folder: the backup, whose checksums have been compared.
        manifest: of it.
        planned: the topics as they must be, with the backup's numbers of partitions (`as_saved`).
        changelog: the topic of the partitions' states, which name topics by their ids.
        broker: which has none of these topics.
        admin: its admin client.
        replicas: copies of each partition; -1 leaves it to the cluster.
        progress: called with the number of records that have been written.

    Raises:
        BackupError: records cannot be written to their offsets.
        BrokerError: the broker refuses, or does not answer in time.
        KafkaException: no broker answers.
    """
    make(admin, [_order(topic, replicas) for topic in planned])
    ids = read_ids(admin, [topic.name for topic in manifest.topics])
    renamed = {topic.id: ids[topic.name] for topic in manifest.topics if topic.id}
    parts = []
    for topic in manifest.topics:
        for part in topic.partitions:
            records: Iterable[Record] = read(folder, topic.name, part)
            if topic.name == changelog:
                records = _with_ids(records, renamed)
            parts.append((Span(topic.name, part.number, part.start, part.end), records))
    fill_together(broker, parts, progress)
    commit(admin, manifest.groups)
    # The changelog last: routers start when it is as it must be.
    for made in sorted(planned, key=lambda made: made.name == changelog):
        until_answered(f"settings of {made.name}", partial(_finish, admin, made), TIMEOUT)


def fill_together(
    broker: Secured,
    parts: Sequence[tuple[Span, Iterable[Record]]],
    progress: Callable[[int], None] = lambda records: None,
) -> None:
    """Fill partitions, some at a time. Raises as `OffsetWriter.fill`, at the first failure.

    Args:
        broker: which has them, and nothing in them.
        parts: what each must hold.
        progress: called with the number of records that have been written, never twice at once.
    """
    free, counting = SimpleQueue[OffsetWriter](), Lock()

    def count(records: int) -> None:
        with counting:
            progress(records)

    def fill(span: Span, records: Iterable[Record]) -> None:
        writer = free.get()
        try:
            writer.fill(span, records, count)
        finally:
            free.put(writer)

    with ExitStack() as stack, ThreadPoolExecutor(WRITERS, "restore") as threads:
        for _ in range(min(WRITERS, len(parts))):
            free.put(stack.enter_context(OffsetWriter(broker)))
        filling = [threads.submit(fill, *part) for part in parts]
        try:
            for one in filling:
                one.result()
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


def as_saved(manifest: Manifest, planned: Sequence[Topic], routed: str) -> list[Topic]:
    """Return the topics as they must be, with the numbers of partitions that they had.

    Args:
        manifest: of the backup. Of its topics, models' that are not configured are like the
            configured models'.
        planned: the topics that the configuration asks for.
        routed: what the names of models' topics begin with.

    Raises:
        BackupError: the backup has a topic that is none of this deployment's.
    """
    counts = {topic.name: len(topic.partitions) for topic in manifest.topics}
    like = next((topic for topic in planned if topic.name.startswith(routed)), None)
    shared = [counts[topic.name] for topic in planned if topic.shared and topic.name in counts]
    found = []
    for topic in planned:  # those that are not in the backup are newer, and begin empty
        without = max(shared, default=0) if topic.shared else topic.partitions
        found.append(replace(topic, partitions=counts.pop(topic.name, without)))
    for name, count in counts.items():
        if like is None or not name.startswith(routed):
            raise BackupError(f"the backup's topic {name!r} is none of this deployment's")
        found.append(replace(like, name=name, partitions=count))
    return found


def _order(topic: Topic, replicas: int) -> NewTopic:
    settings = {**topic.settings, **UNFINISHED}
    return NewTopic(topic.name, topic.partitions, replication_factor=replicas, config=settings)


def _finish(admin: AdminClient, topic: Topic) -> None:
    """Give a topic the settings that it must have."""
    settings = topic.settings
    entries = [
        ConfigEntry(
            name,
            settings.get(name),
            incremental_operation=(
                AlterConfigOpType.SET if name in settings else AlterConfigOpType.DELETE
            ),
        )
        for name in UNFINISHED
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic.name, incremental_configs=entries)
    admin.incremental_alter_configs([resource], request_timeout=TIMEOUT)[resource].result(TIMEOUT)


def _with_ids(records: Iterable[Record], renamed: Mapping[str, str]) -> Iterator[Record]:
    """Yield a changelog's records; states name the topics' new ids, where they named the old."""
    for record in records:
        if record.key == STATE_KEY and record.value:
            state = orjson.loads(record.value)
            topics = state.get("topics", {})
            state["topics"] = {name: renamed.get(id, id) for name, id in topics.items()}
            record = record._replace(value=orjson.dumps(state))
        yield record
