"""Fences stale changelog writers: the records of a process that has lost its partition are void.

Kafka accepts a plain producer's records at any time, even those of a process that was paused for
longer than its session and has been replaced. So a new owner first writes a *claim*, which names
it by a token, and every record carries its writer's token in a header. At any offset of a
changelog partition the owner is the one named by the last claim before it; records of any other
writer are void. Every reader skips void records, by `Fence.counts`.

Each claim has a key of its own, so compaction keeps all of them (about 100 bytes per takeover),
and void records stay void. A void record can make compaction remove the valid record of the same
key, though: such keys are *shadowed* until their owner has written them again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from msgspec import Struct, field

from streams.kafka.records import PartitionRecord

OWNER = "owner"
"""The header with the writer's token."""
_CLAIM = b"claim/"


Some = TypeVar("Some", bound=PartitionRecord)


class Fence(Struct):
    """Follows one partition of one changelog, record by record.

    Attributes:
        owner: Token of the last claim. None before the first one: then every record counts, as in
            a log that was written before claims existed.
        shadowed_keys: Keys whose last record is void.
    """

    owner: bytes | None = None
    shadowed_keys: set[bytes] = field(default_factory=set, name="hidden")

    def counts(
        self,
        key: bytes | None,
        headers: Mapping[str, bytes] | Iterable[tuple[str, bytes]] | None,
    ) -> bool:
        """Advance by one record, and return whether it is a row of the partition's owner."""
        key = key or b""
        if key.startswith(_CLAIM):
            self.owner = key.removeprefix(_CLAIM)
            return False
        if self.owner is None or dict(headers or ()).get(OWNER) == self.owner:
            self.shadowed_keys.discard(key)
            return True
        self.shadowed_keys.add(key)
        return False


def claim_key(token: bytes) -> bytes:
    """Return the key of the claim that names a token."""
    return _CLAIM + token


def is_claim(key: bytes | None) -> bool:
    """Return whether a record's key is that of a claim."""
    return key is not None and key.startswith(_CLAIM)


def rightful(records: Iterable[Some]) -> Iterator[Some]:
    """Yield the valid rows of one changelog.

    Args:
        records: Of any number of its partitions, each in order and from its beginning.
    """
    fences: defaultdict[int, Fence] = defaultdict(Fence)
    for record in records:
        if fences[record.partition].counts(record.key, record.headers):
            yield record
