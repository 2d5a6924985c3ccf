"""API keys: whose they are, and that nothing else is let in."""

from __future__ import annotations

import pytest

from streams.config.serve import KeySettings
from streams.serve.keys import ANYBODY, Caller, bearer, find_caller, hashed, new_key

KEY, OTHER = new_key(), new_key()
KEYS = {
    "shop": KeySettings(hash=hashed(KEY), tenant="shop"),
    "admin": KeySettings(hash=hashed(OTHER)),
}


def test_whose_it_is() -> None:
    """A key names its tenant, where it has one."""
    assert find_caller(KEYS, KEY) == Caller("shop", "shop")
    assert find_caller(KEYS, OTHER) == Caller("admin", None)


@pytest.mark.parametrize(
    "wrong",
    [None, "", "x", KEY + "x", KEY[:-1], hashed(KEY), "k" * 10**6],
    ids=["none", "empty", "short", "longer", "cut", "its hash", "huge"],  # keys differ by process
)
def test_whose_it_is_not(wrong: str | None) -> None:
    """Neither a part of a key, nor its hash, is a key."""
    assert find_caller(KEYS, wrong) is None


def test_without_keys() -> None:
    """Where none is configured, anybody may ask."""
    assert find_caller({}, None) == ANYBODY
    assert find_caller({}, "anything") == ANYBODY


def test_keys_differ() -> None:
    """Keys are drawn at random, and long."""
    assert len({new_key() for _ in range(100)}) == 100
    assert len(KEY) > 50


def test_no_hash_is_shown() -> None:
    """A configuration that is printed shows no hash."""
    assert KEYS["shop"].hash not in repr(KEYS)


def test_bearer() -> None:
    """Only a bearer's credential is one."""
    assert bearer("Bearer abc") == "abc"
    assert bearer("bearer  abc ") == "abc"
    assert [bearer(wrong) for wrong in (None, "", "abc", "Basic abc", "Bearer ")] == [None] * 5
