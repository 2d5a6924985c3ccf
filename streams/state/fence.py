"""Whose records count in a changelog, where a process that has lost it may still write to it.

Kafka takes a plain producer's records at any time: those of a process that was paused for longer
than its session come after another has taken over. So whoever takes over writes a *claim* first,
which names it by a token, and every record carries its writer's token in a header. At any place
in a changelog's partition the owner is the one whom the last claim before it names; a record of
anybody else is void. Every reader passes over what is void, by `Fence.counts`.

Each claim has a key of its own, so compaction keeps all of them (some 100 bytes a take-over), and
what was void stays void. A void record can hide a valid one of its key from compaction, though:
such keys are `hidden`, until their owner has written them again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from msgspec import Struct, field

OWNER = "owner"
"""The header with the writer's token."""
_CLAIM = b"claim/"


class Logged(Protocol):
    """A record of a changelog, as any of the clients has it."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""
        ...

    @property
    def key(self) -> bytes | None:
        """Its row's key."""
        ...

    @property
    def value(self) -> bytes | None:
        """The row, None where it is removed."""
        ...

    @property
    def headers(self) -> Any:
        """Pairs or a mapping of names and bytes, or None."""
        ...


class Placed(Logged, Protocol):
    """A record that says from which partition it is."""

    @property
    def partition(self) -> int:
        """The partition's number."""
        ...


Some = TypeVar("Some", bound=Placed)


class Fence(Struct):
    """Follows one partition of one changelog, record by record.

    owner: token of the last claim, None before the first: then every record counts, as in a log
    that was written before there were claims. hidden: keys whose last record is void.
    """

    owner: bytes | None = None
    hidden: set[bytes] = field(default_factory=set)

    def counts(
        self,
        key: bytes | None,
        headers: Mapping[str, bytes] | Iterable[tuple[str, bytes]] | None,
    ) -> bool:
        """Go on by one record; tell whether it is a row of the partition's owner."""
        key = key or b""
        if key.startswith(_CLAIM):
            self.owner = key.removeprefix(_CLAIM)
            return False
        if self.owner is None or dict(headers or ()).get(OWNER) == self.owner:
            self.hidden.discard(key)
            return True
        self.hidden.add(key)
        return False


def claim_key(token: bytes) -> bytes:
    """Return the key of the claim that names a token."""
    return _CLAIM + token


def is_claim(key: bytes | None) -> bool:
    """Tell a claim from a row."""
    return key is not None and key.startswith(_CLAIM)


def rightful(records: Iterable[Some]) -> Iterator[Some]:
    """Yield the rows of one changelog that count, of any number of its partitions, each of which
    is read in order and from its beginning."""
    fences: defaultdict[int, Fence] = defaultdict(Fence)
    for record in records:
        if fences[record.partition].counts(record.key, record.headers):
            yield record
