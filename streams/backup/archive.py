"""The files of a backup: one of gzipped JSON lines for each partition, and a manifest.

A line is one record. Bytes are Latin-1 text in it, which maps each byte to one character and back.
The manifest is written last: a folder without one is not a backup.
"""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple, Self

import msgspec

from schemas import Invalid
from schemas.wire import Versioned, decode
from streams.kafka.errors import BrokerError
from streams.kafka.groups import Offsets
from streams.kafka.logs import Record

MANIFEST = "manifest.json"
LARGEST_MANIFEST = 256 << 20
"""Bytes; Sluice writes it itself."""


class BackupError(BrokerError):
    """A backup cannot be made, read or restored."""


class PartitionFile(msgspec.Struct, frozen=True, kw_only=True):
    """One partition's records.

    Attributes:
        number: of the partition.
        start: its first offset.
        end: the offset after its last one; between them offsets may be without a record.
        records: in the file.
        sha256: of the file's bytes.
    """

    number: int
    start: int
    end: int
    records: int
    sha256: str

    @property
    def name(self) -> str:
        """The file's name, in its topic's folder."""
        return self.named(self.number)

    @staticmethod
    def named(number: int) -> str:
        """The name of a partition's file."""
        return f"{number}.jsonl.gz"


class TopicFiles(msgspec.Struct, frozen=True, kw_only=True):
    """One topic. id: Kafka's id of its life; partitions: in order of their numbers."""

    name: str
    id: str
    partitions: list[PartitionFile]


class Manifest(Versioned, frozen=True, kw_only=True):
    """What a backup holds.

    Attributes:
        sluice: the version that made it.
        made_at: Unix seconds.
        prefix: of the topics' names.
        topics: in order of their names.
        groups: offsets that consumer groups had committed of these topics.
    """

    sluice: str
    made_at: float
    prefix: str
    topics: list[TopicFiles]
    groups: Mapping[str, Offsets]

    @property
    def records(self) -> int:
        """Records in all files."""
        return sum(part.records for topic in self.topics for part in topic.partitions)

    def write(self, folder: Path) -> None:
        """Write it, all or nothing."""
        draft = folder / f"{MANIFEST}.new"
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(self)))
        draft.replace(folder / MANIFEST)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a backup's manifest. Raises BackupError where there is none, or a broken one."""
        path = folder / MANIFEST
        try:
            return decode(cls, path.read_bytes(), LARGEST_MANIFEST)
        except FileNotFoundError:
            raise BackupError(f"{folder} is no backup: it has no {MANIFEST}") from None
        except Invalid as error:
            raise BackupError(f"{path}: {error}") from None


class _Line(msgspec.Struct, frozen=True, array_like=True):
    offset: int
    timestamp: int
    key: str | None
    value: str | None
    headers: list[tuple[str, str | None]]


class Stored(NamedTuple):
    """What has been written to a file."""

    records: int
    sha256: str


class PartitionWriter:
    """Writes one partition's file. Use as a context; then `stored` tells what it holds."""

    def __init__(self, path: Path) -> None:
        """Args:
        path: of the file, whose folder is made.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._raw = path.open("wb")
        self._hashed = _Hashed(self._raw)
        self._zipped = gzip.GzipFile("", "wb", 6, self._hashed, mtime=0)
        self._records = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zipped.close()
        self._raw.close()

    def add(self, record: Record) -> None:
        """Write a record."""
        line = _Line(
            record.offset,
            record.timestamp,
            _text(record.key),
            _text(record.value),
            [(name, _text(value)) for name, value in record.headers],
        )
        self._zipped.write(msgspec.json.encode(line) + b"\n")
        self._records += 1

    @property
    def stored(self) -> Stored:
        """What the closed file holds."""
        return Stored(self._records, self._hashed.digest.hexdigest())


class _Hashed(io.RawIOBase):
    """Passes bytes on to a file, and hashes them."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # gzip hands over bytes only
        self.digest.update(data)
        return self._file.write(data)


def check(
    folder: Path, manifest: Manifest, progress: Callable[[int], None] = lambda done: None
) -> None:
    """Compare all files with the manifest's checksums.

    Args:
        folder: the backup.
        manifest: of it.
        progress: called with the number of files that were read.

    Raises:
        BackupError: a file is missing, or is not the one that was written.
    """
    for topic in manifest.topics:
        for part in topic.partitions:
            path = folder / topic.name / part.name
            try:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except FileNotFoundError:
                raise BackupError(f"{path} is missing") from None
            if found != part.sha256:
                raise BackupError(f"{path} is damaged: its checksum is not the manifest's")
            progress(1)


def read(folder: Path, topic: str, part: PartitionFile) -> Iterator[Record]:
    """Yield a partition's records in order. Raises BackupError where the file is damaged."""
    path = folder / topic / part.name
    with gzip.open(path, "rb") as file:
        yield from _records(path, topic, part.number, file)


def _records(path: Path, topic: str, number: int, lines: Iterable[bytes]) -> Iterator[Record]:
    decoder = msgspec.json.Decoder(_Line)
    try:
        for line in lines:
            found = decoder.decode(line)
            yield Record(
                topic,
                number,
                found.offset,
                found.timestamp,
                _bytes(found.key),
                _bytes(found.value),
                [(name, _bytes(value) or b"") for name, value in found.headers],
            )
    except (OSError, EOFError, ValueError) as error:
        raise BackupError(f"{path} is damaged: {error}") from error


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("latin-1")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")
