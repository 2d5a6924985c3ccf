"""Topic `rejected`: a record that could not be accepted, whole, with the reason."""

from __future__ import annotations

from base64 import b64decode, b64encode

import msgspec

from schemas.fields import Id, Source
from schemas.invalid import Code, Invalid
from schemas.wire import MAX_BYTES, Message, decode

LONGEST_ORIGINAL = 2 * MAX_BYTES
"""Bytes; of a longer record the rejection holds its beginning, so that it can be sent itself."""


class _Named(msgspec.Struct):
    id: Id


class Rejected(Message, frozen=True, kw_only=True):
    """A refused record.

    Attributes:
        code: For programs.
        reason: A sentence for people.
        source: The refused record.
        id: Its id, where that could be read.
        field: Path of the field that is wrong.
        original_base64: The record's bytes, cut to the first 2 MiB.
    """

    code: Code
    reason: str
    source: Source
    id: Id | None = None
    field: str | None = None
    original_base64: str = ""

    @classmethod
    def of(cls, error: Invalid, data: bytes | None, source: Source) -> Rejected:
        """The message for bytes that `decode`, or a later check, has refused."""
        return cls(
            id=read_id(data),
            code=error.code,
            reason=error.reason,
            field=error.field,
            source=source,
            original_base64=b64encode((data or b"")[:LONGEST_ORIGINAL]).decode(),
        )

    def original(self) -> bytes:
        """The refused record's bytes. Raises ValueError where the field is not base64."""
        return b64decode(self.original_base64, validate=True)


def read_id(data: bytes | None) -> str | None:
    """The id of a message that may be wrong in other ways, or None where it has none."""
    try:
        return decode(_Named, data).id
    except Invalid:
        return None
