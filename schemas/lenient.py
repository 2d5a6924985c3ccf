"""JSON as servers really send it: what `wire` refuses in messages is put right here, or dropped."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import msgspec

MAX_LEVELS = 48
"""Levels of arrays and objects that are kept, so that a message may carry them."""


def read_json(data: bytes) -> Any:
    """Read JSON of any encoding.

    A byte-order mark is skipped. Bytes that are no text and halves of surrogate pairs become
    U+FFFD; numbers that JSON cannot hold (NaN, infinity, beyond 64 bits) and what is nested more
    than `MAX_LEVELS` deep become null.

    Returns:
        What every message can carry.

    Raises:
        ValueError: It is not JSON.
    """
    text = data.decode(json.detect_encoding(data), errors="replace")
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        try:
            value = json.loads(text, parse_int=_integer, strict=False)
        except RecursionError as error:
            raise ValueError("arrays and objects are nested too deeply") from error
    return _carried(value, MAX_LEVELS)


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= sys.int_info.str_digits_check_threshold else None


def _carried(value: Any, levels: int) -> Any:
    """The value without what a message cannot hold."""
    if isinstance(value, str):
        return value if value.isascii() else _paired(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if value.bit_length() < 64 else None
    if value is None or levels == 0:
        return None
    if isinstance(value, dict):
        return {_carried(k, levels): _carried(v, levels - 1) for k, v in value.items()}
    return [_carried(child, levels - 1) for child in value]


def _paired(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
