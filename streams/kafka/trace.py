"""The W3C trace context in a record's headers."""

from __future__ import annotations

import re
from typing import Any

_PARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def trace_id(headers: Any) -> str | None:
    """Return the trace id (32 hexadecimal digits) of a record's `traceparent`.

    Args:
        headers: Pairs of names and bytes, or None.

    Returns:
        The id; None where there is no header of that name, or it is not well-formed.
    """
    for name, value in headers or ():
        if name == "traceparent" and (found := _PARENT.match(value or b"")):
            return found[1].decode()
    return None


def ids(decision_id: str, headers: Any = None, **more: Any) -> dict[str, Any]:
    """Return what a log line about a decision carries, for `extra`.

    Args:
        decision_id: Of the decision.
        headers: Of the query's record; its trace id goes in, if it has one.
        more: Other fields of `streams.cli.logs.FIELDS`.
    """
    trace = trace_id(headers)
    return {"decision_id": decision_id, **({"trace_id": trace} if trace else {}), **more}
