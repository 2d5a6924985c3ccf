"""Bytes to messages and back. Whatever the bytes are, `decode` returns or raises `Invalid`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Hashable
from functools import cache
from typing import Annotated, Any, TypeVar, cast

import msgspec

from schemas.invalid import Code, Invalid, explain, too_deep

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "Code",
    "Invalid",
    "Message",
    "NewerFormat",
    "Versioned",
    "decode",
    "encode",
]

MAX_BYTES = 1_048_576
MAX_DEPTH = 64
FORMAT = 1
"""Of the records that this version writes, and the newest that it reads."""

Kind = TypeVar("Kind")


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every message is: immutable, named fields only, defaults left off the wire.

    Unknown fields are ignored, so that a newer writer does not stop an older reader.
    """


class NewerFormat(RuntimeError):
    """A record that a newer version of Sluice wrote, and this one cannot read.

    It is no `Invalid`: passing over the record would lose money or queries, so the process ends.
    """


class Versioned(Message, frozen=True, kw_only=True):
    """What only Sluice writes and reads back: state, and messages between its processes.

    New fields need no new format, for a reader may ignore them. A change that older readers must
    not ignore raises `FORMAT`.

    Attributes:
        format: Of the record; left out in the first one.
    """

    format: Annotated[
        int, msgspec.Meta(ge=1, description="Of the record; left out in the first one.")
    ] = 1

    def __post_init__(self) -> None:
        if self.format > FORMAT:
            raise NewerFormat(
                f"format: found {self.format} in a {type(self).__name__}, this version of Sluice "
                f"reads up to {FORMAT}: a newer version wrote it; upgrade this process"
            )


def decode(kind: type[Kind], data: bytes | None, max_bytes: int = MAX_BYTES) -> Kind:
    """Read one message.

    Raises NewerFormat for what a newer version wrote. Raises Invalid, and nothing else, for what is
    not a `kind`: no bytes or only blanks ("empty"), more than `max_bytes` ("too_large"), not UTF-8,
    not JSON, NaN, not an object, a field of the message given twice, more than MAX_DEPTH levels
    ("invalid_json"), and broken field rules.
    """
    if data is None or not data or data.isspace():
        raise Invalid("empty", "the message is empty: found no bytes, it must be a JSON object")
    if len(data) > max_bytes:
        raise Invalid("too_large", f"{len(data)} bytes, at most {max_bytes} are accepted")
    read, own_fields = _reader(cast(Hashable, kind))
    try:
        str(data, "utf-8")  # msgspec does not look into the text of fields that it skips
        message: Kind = read(data)
        names = own_fields(data)
        if len(set(names)) < len(names) or b"\\u00" in data or not _is_shallow(data):
            _look_closer(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise explain(error, kind, data) from None
    return message


def encode(message: object) -> bytes:
    """Write one message as JSON. Raises ValueError for NaN or infinity, which JSON cannot hold."""
    data = _write(message)
    if b"null" in data:  # what msgspec writes for them, and otherwise rare
        _refuse_not_finite(msgspec.to_builtins(message))
    return data


_write = msgspec.json.Encoder().encode
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_INNERMOST = re.compile(rb"\[\]|\{\}")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


@cache
def _reader(kind: Hashable) -> tuple[Callable[[bytes], Any], Callable[[bytes], list[bytes]]]:
    """A decoder, and a finder of what may be the names of the kind's own fields."""
    info = msgspec.inspect.type_info(kind)
    names: set[str] = set()
    for each in getattr(info, "types", (info,)):
        if isinstance(each, msgspec.inspect.StructType):
            names |= {field.encode_name for field in each.fields}
            names |= {each.tag_field} if each.tag_field else set()
    pattern = '"(' + "|".join(sorted(names)) + r')"\s*:'
    return msgspec.json.Decoder(kind).decode, re.compile(pattern.encode()).findall


def _is_shallow(data: bytes) -> bool:
    """Whether JSON has MAX_DEPTH levels at most, its outermost included."""
    if data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
        return True
    brackets = _STRING.sub(b"", data).translate(None, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = _INNERMOST.sub(b"", brackets)
        if not brackets:
            return True
    return False


def _look_closer(data: bytes) -> None:
    """The exact test for fields given twice and for nesting: slow, so only where one is likely."""
    pairs: list[tuple[str, Any]] = []

    def keep(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal pairs
        pairs = found  # objects end from the inside out: the message itself is the last
        return dict(found)

    level: list[Any] = [json.loads(data, object_pairs_hook=keep, parse_int=len)]
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise Invalid("invalid_json", f"{name}: given twice in the same message", name)
        seen.add(name)
    for _ in range(MAX_DEPTH):
        level = [
            child
            for value in level
            if isinstance(value, dict | list)
            for child in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise too_deep()


def _refuse_not_finite(value: Any, path: str = "") -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path}: found {value}, a message holds finite numbers only")
    if isinstance(value, dict):
        for key, child in value.items():
            _refuse_not_finite(child, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for i, child in enumerate(value):
            _refuse_not_finite(child, f"{path}[{i}]")
