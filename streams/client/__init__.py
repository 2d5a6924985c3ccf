"""Sends queries, and awaits their answers: `Client`, `AsyncClient`, and what they raise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.client.answers import Answer
    from streams.client.asynchronous import AsyncClient
    from streams.client.errors import (
        BudgetExceeded,
        ClientError,
        DeadlineExceeded,
        ModelFailed,
        QueryError,
        QueryRejected,
    )
    from streams.client.synchronous import Client

__all__ = [
    "Answer",
    "AsyncClient",
    "BudgetExceeded",
    "Client",
    "ClientError",
    "DeadlineExceeded",
    "ModelFailed",
    "QueryError",
    "QueryRejected",
]

_MODULES = {"Answer": "answers", "AsyncClient": "asynchronous", "Client": "synchronous"}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and no more: `sluice produce` needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)
