"""Writes a stopped deployment's topics to a folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from streams.backup.archive import (
    BackupError,
    Manifest,
    PartitionFile,
    PartitionWriter,
    TopicFiles,
)
from streams.kafka.groups import Group
from streams.kafka.logs import Logs, Span

Spans = dict[str, list[Span]]
"""By topic, the spans of its partitions."""


def save(
    folder: Path,
    logs: Logs,
    spans: Spans,
    ids: Mapping[str, str],
    prefix: str,
    groups: Sequence[Group],
    progress: Callable[[int], None] = lambda offsets: None,
) -> Manifest:
    """Write all files of a backup but its manifest, which the caller writes when nothing has moved.

    Args:
        folder: of the backup; it is made.
        logs: reads the topics.
        spans: what is to be written.
        ids: Kafka's ids of the topics.
        prefix: of the topics' names.
        groups: that read them.
        progress: called with the number of offsets that reading has advanced by.

    Raises:
        LogError: records were deleted while they were read.
        KafkaException: for the broker's other errors.
    """
    topics = [
        TopicFiles(
            name=name, id=ids.get(name, ""), partitions=_write(folder / name, logs, parts, progress)
        )
        for name, parts in spans.items()
    ]
    return Manifest(
        sluice=version("sluice-llm"),
        made_at=time.time(),
        prefix=prefix,
        topics=topics,
        groups={group.name: group.offsets for group in groups},
    )


def require_unmoved(before: Spans, now: Spans, growing: str) -> None:
    """Raise BackupError where anything was written meanwhile, but to one topic.

    Args:
        before: what was written to the backup.
        now: what there is.
        growing: the topic that clients may write to.
    """
    for name, parts in before.items():
        ends, ends_now = ([span.end for span in each] for each in (parts, now.get(name, [])))
        if name != growing and ends != ends_now:
            raise BackupError(
                f"{name} was written to while it was read: stop what writes to it (routers, "
                "workers, `sluice serve`, `sluice learn`), and make the backup again"
            )


def _write(
    folder: Path, logs: Logs, spans: Sequence[Span], progress: Callable[[int], None]
) -> list[PartitionFile]:
    with ExitStack() as stack:
        writers = {
            span.partition: PartitionWriter(folder / PartitionFile.named(span.partition))
            for span in spans
        }
        for writer in writers.values():
            stack.enter_context(writer)
        for record in logs.read(spans, progress):
            writers[record.partition].add(record)
    return [
        PartitionFile(
            number=span.partition,
            start=span.start,
            end=span.end,
            records=writers[span.partition].stored.records,
            sha256=writers[span.partition].stored.sha256,
        )
        for span in spans
    ]
