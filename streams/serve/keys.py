"""API keys: made at random, kept as hashes, compared in constant time."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

from streams.config.serve import KeySettings

PREFIX = "sk-sluice-"
LONGEST = 256
"""Characters; a longer credential is none of ours, and is not hashed."""


class Caller(NamedTuple):
    """Who sends a request.

    Attributes:
        name: Of its key; "" where none is needed.
        tenant: On whose behalf; None where the key names nobody.
    """

    name: str
    tenant: str | None


ANYBODY = Caller("", None)


def new_key() -> str:
    """Make a key of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def hashed(key: str) -> str:
    """Return what the configuration holds of a key. Keys are random: one hash is enough."""
    return "sha256:" + sha256(key.encode()).hexdigest()


def find_caller(keys: Mapping[str, KeySettings], credential: str | None) -> Caller | None:
    """Return whose key it is, None for nobody's; anybody where no keys are configured.

    Takes as long for a wrong key as for a right one.
    """
    if not keys:
        return ANYBODY
    if credential is None or len(credential) > LONGEST:
        return None
    given, found = hashed(credential), None
    for name, key in keys.items():
        if hmac.compare_digest(given, key.hash):
            found = Caller(name, key.tenant)
    return found


def bearer(authorization: str | None) -> str | None:
    """Return the credential of an Authorization header."""
    kind, _, credential = (authorization or "").partition(" ")
    return credential.strip() or None if kind.lower() == "bearer" else None
