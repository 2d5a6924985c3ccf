"""The files of a backup: what is written is read, and damage is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.backup.archive import (
    MANIFEST,
    BackupError,
    Manifest,
    PartitionFile,
    PartitionWriter,
    TopicFiles,
    check,
    read,
)
from streams.kafka.logs import Record

RECORDS = [
    Record("t", 3, 5, 1_700_000_000_000, b"\x00\xff", b"{}", [("name", b"\xfe"), ("name", b"")]),
    Record("t", 3, 9, 1_700_000_000_001, None, None, []),
]


def saved(folder: Path) -> Manifest:
    """A backup of one partition, with its manifest."""
    with PartitionWriter(folder / "t" / PartitionFile.named(3)) as writer:
        for record in RECORDS:
            writer.add(record)
    records, sha256 = writer.stored
    part = PartitionFile(number=3, start=5, end=12, records=records, sha256=sha256)
    topic = TopicFiles(name="t", id="life", partitions=[part])
    groups = {"router": {"t": {3: 12}}}
    manifest = Manifest(sluice="1", made_at=1.5, prefix="p.", topics=[topic], groups=groups)
    manifest.write(folder)
    return manifest


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Any bytes, records without key or value, headers of one name; also the manifest."""
    manifest = saved(tmp_path)
    assert Manifest.read(tmp_path) == manifest
    assert manifest.records == 2
    checked: list[int] = []
    check(tmp_path, manifest, checked.append)
    assert checked == [1]
    [topic] = manifest.topics
    assert list(read(tmp_path, topic.name, topic.partitions[0])) == RECORDS


def test_equal_records_make_equal_files(tmp_path: Path) -> None:
    """Nothing of the moment goes into a file."""
    assert saved(tmp_path / "a").topics == saved(tmp_path / "b").topics


def test_what_is_damaged_or_missing_is_named(tmp_path: Path) -> None:
    """A changed byte, a cut file, a missing one, a folder without a manifest, a broken manifest."""
    manifest = saved(tmp_path)
    [part] = manifest.topics[0].partitions
    path = tmp_path / "t" / part.name
    data = path.read_bytes()
    path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    with pytest.raises(BackupError, match=r"3.jsonl.gz is damaged: its checksum"):
        check(tmp_path, manifest)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(BackupError, match=r"3.jsonl.gz is damaged"):
        list(read(tmp_path, "t", part))
    path.unlink()
    with pytest.raises(BackupError, match=r"3.jsonl.gz is missing"):
        check(tmp_path, manifest)
    with pytest.raises(BackupError, match="is no backup"):
        Manifest.read(tmp_path / "t")
    (tmp_path / MANIFEST).write_text('{"sluice": 1}')
    with pytest.raises(BackupError, match="sluice"):
        Manifest.read(tmp_path)
