"""Kinds of values that several messages share, with their bounds and units."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

INT64 = 2**63 - 1
NANO = 10**9
"""Nano-units in one unit of currency."""
NO_CONTROL = r"^[^\u0000-\u001f\u007f]+(?![\s\S])"
"""No control characters. The end is not written `$`, which in Python lets a last newline pass."""

Id = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        pattern=NO_CONTROL,
        description="up to 256 characters, none of them a control character",
    ),
]
Name = Id
"""A model, tenant, topic or policy: bounded as an id is."""
Nano = Annotated[
    int, Meta(ge=0, le=INT64, description="an amount in nano-units, 1 USD = 1,000,000,000")
]
SignedNano = Annotated[
    int,
    Meta(ge=-INT64, le=INT64, description="nano-units; below zero where a limit was overrun"),
]
NanoPerMillion = Annotated[
    int, Meta(ge=0, le=10**15, description="nano-units per million tokens, 1 USD = 1,000,000,000")
]
Count = Annotated[int, Meta(ge=0, le=INT64)]
Tokens = Annotated[int, Meta(ge=1, le=10**12)]
"""Wider than any model: with recorded outcomes a token stands for a nano-unit."""
MediaTokens = Annotated[int, Meta(ge=0, le=10**7)]
Score = Annotated[float, Meta(ge=0, le=1)]
LATEST = 1e11
"""Unix seconds of the last moment (in the year 5138) that is taken for one."""
UnixTime = Annotated[
    float, Meta(gt=0, le=LATEST, description="Unix time in seconds, not milliseconds")
]
Window = Literal["none", "minute", "hour", "day", "month"]
Unit = Literal["currency", "tokens", "requests"]
UNITS: tuple[Unit, ...] = ("currency", "tokens", "requests")
"""What limits count, in the order of the tables of amounts that policies see."""


class Source(Struct, frozen=True):
    """Position of a record in the log.

    Attributes:
        topic: The topic.
        partition: The partition number.
        offset: The offset.
    """

    topic: Name
    partition: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    offset: Count
