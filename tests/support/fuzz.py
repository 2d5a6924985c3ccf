"""Seeded damage to good messages: bytes, structure, and values that no sender should send."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Any

import orjson

ODD: Sequence[Any] = (
    None,
    True,
    0,
    -1,
    1,
    2**31,
    2**53,
    2**63 - 1,
    -(2**63),
    2**64 - 1,
    0.1,
    -0.0,
    1e-300,
    1e300,
    "",
    " ",
    "\0",
    "\ud7ff\n",
    "x" * 300,
    "../../etc/passwd",
    [],
    [[]],
    [None],
    {},
    {"": {}},
    {"id": 1},
)


def damaged(good: Sequence[bytes], count: int, seed: int) -> Iterator[bytes | None]:
    """`count` messages, each a good one with a wound or two, or no message at all."""
    random = Random(seed)
    for _ in range(count):
        message = random.choice(good)
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            message = random.choice(WOUNDS)(random, message)
        yield None if random.random() < 0.01 else message


def _flip(random: Random, message: bytes) -> bytes:
    if not message:
        return message
    at = random.randrange(len(message))
    return message[:at] + bytes([message[at] ^ (1 << random.randrange(8))]) + message[at + 1 :]


def _cut(random: Random, message: bytes) -> bytes:
    first, last = sorted((random.randint(0, len(message)), random.randint(0, len(message))))
    return message[:first] + message[last:]


def _break_off(random: Random, message: bytes) -> bytes:
    return message[: random.randint(0, len(message))]


def _repeat(random: Random, message: bytes) -> bytes:
    first, last = sorted((random.randint(0, len(message)), random.randint(0, len(message))))
    return message[:last] + message[first:]


def _insert(random: Random, message: bytes) -> bytes:
    at = random.randint(0, len(message))
    return message[:at] + random.randbytes(random.randint(1, 20)) + message[at:]


def _noise(random: Random, _: bytes) -> bytes:
    return random.randbytes(random.randint(0, 200))


def _put_odd_value(random: Random, message: bytes) -> bytes:
    """Somewhere in the structure, one value becomes another of any type."""
    try:
        root = orjson.loads(message)
    except orjson.JSONDecodeError:
        return message
    places: list[tuple[Any, Any]] = []
    _places(root, places)
    if not places:
        return message
    owner, key = random.choice(places)
    if random.random() < 0.2:
        del owner[key]
    else:
        owner[key] = random.choice(ODD)
    return orjson.dumps(root)


def _places(value: Any, found: list[tuple[Any, Any]]) -> None:
    """Every place in a structure: what holds it, and its key or number there."""
    items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, child in items:
        found.append((value, key))
        _places(child, found)


WOUNDS: Sequence[Callable[[Random, bytes], bytes]] = (
    _flip,
    _cut,
    _break_off,
    _repeat,
    _insert,
    _noise,
    *[_put_odd_value] * 6,
)
