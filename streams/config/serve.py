"""The section [serve] of sluice.toml: the HTTP front."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, field

from schemas.fields import Name
from schemas.invalid import wrong

Seconds = Annotated[float, Meta(gt=0, le=1e9)]
Hash = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}(?![\s\S])")]


class KeySettings(msgspec.Struct, frozen=True, kw_only=True):
    """One API key. hash: as `sluice key new` prints it; tenant: on whose behalf its requests are
    sent.
    """

    hash: Hash
    tenant: Name | None = None

    def __repr__(self) -> str:
        """Without the hash."""
        return f"KeySettings(tenant={self.tenant!r})"


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How requests are bounded, and who may send them. deadline_seconds: of a request that names
    none; deferred_seconds: that one waits for money, none: until its deadline; in_flight and rate:
    requests at a time, and a second for each key; header_seconds, body_seconds: in which a request
    must arrive; idempotency_seconds: that answers are kept for repeated requests; files: of
    batches, a folder or a URL of fsspec that the processes share; orders_key: hash of the key with
    which the page takes orders, none: it takes none.
    """

    keys: dict[Name, KeySettings] = field(default_factory=dict)
    deadline_seconds: Seconds = 600.0
    deferred_seconds: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    in_flight: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    rate: Annotated[float, Meta(gt=0, le=1e6)] = 1000.0
    header_seconds: Seconds = 10.0
    body_seconds: Seconds = 30.0
    idempotency_seconds: Seconds = 3600.0
    files: Annotated[str, Meta(min_length=1)] = ".sluice/files"
    orders_key: Hash | None = None

    def __post_init__(self) -> None:
        names: dict[str, str] = {}
        for name, key in self.keys.items():
            if (other := names.setdefault(key.hash, name)) != name:
                raise wrong(f"keys.{name}.hash", key.hash, f"the key {other} has the same")

    def __repr__(self) -> str:
        """Without the hashes."""
        return f"ServeSettings(keys={sorted(self.keys)})"
