"""Queries for backends, and what comes back."""

from __future__ import annotations

from typing import Any

from schemas import Result, Routed, Source
from streams.worker.backends.base import Backend

RESERVED = 1000


def routed(id: str = "a", **fields: Any) -> Routed:
    given: dict[str, Any] = {
        "decision_id": f"decision {id}",
        "model": "m",
        "max_tokens": 100,
        "reserved": RESERVED,
        "policy": "test",
        "source": Source("queries", 0, 0),
    }
    if "payload" not in fields:
        given["prompt"] = "2 + 2?"
    return Routed(id=id, **{**given, **fields})


async def ask(backend: Backend, query: Routed | None = None) -> Result:
    try:
        return await backend.answer(query or routed())
    finally:
        await backend.close()


def code(result: Result) -> str | None:
    return None if result.error is None else result.error.code
