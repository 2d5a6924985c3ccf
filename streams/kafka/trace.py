"""The W3C trace context in a record's headers."""

from __future__ import annotations

import re
from typing import Any

PARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")
"""A well-formed `traceparent`: its groups are the trace id and the flags."""


_SAMPLED = 1
"""The flag of a trace that is recorded."""


def trace_id(headers: Any, only_sampled: bool = False) -> str | None:
    """Return the trace id (32 hexadecimal digits) of a record's `traceparent`.

    Args:
        headers: Pairs of names and bytes, or None.
        only_sampled: Return None for a trace that is not recorded.

    Returns:
        The id; None where there is no header of that name, or it is not well-formed.
    """
    for name, value in headers or ():
        if name == "traceparent" and (found := PARENT.match(value or b"")):
            sampled = int(found[2], 16) & _SAMPLED
            return found[1].decode() if sampled or not only_sampled else None
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
