"""Exemplars: the traces of single observations, beside the buckets that they fell into.

Prometheus gets them where it asks for the OpenMetrics format.
"""

from __future__ import annotations

from streams.kafka.producer import Headers
from streams.kafka.trace import trace_id


def exemplar(headers: Headers) -> dict[str, str] | None:
    """Return the labels of an observation's exemplar.

    Args:
        headers: Of the observed record.

    Returns:
        Its trace id; None where it has none, or its trace is not sampled.
    """
    if not headers or (found := trace_id(headers, only_sampled=True)) is None:
        return None
    return {"trace_id": found}
