"""Decision ids: the coordinates of the decided record, as text."""

from __future__ import annotations

from schemas import Source

_LARGEST_OFFSET = 2**63 - 1


def decision_id(source: Source) -> str:
    """Return the id of the decision on a record.

    It is the same for every delivery of the record, and is never used again.
    """
    return f"{source.topic}/{source.partition}/{source.offset}"


def parse_decision_id(text: str) -> Source | None:
    """Return the coordinates that a decision id names, or None where it is no decision id."""
    topic, _, coordinates = text.partition("/")
    partition, _, offset = coordinates.partition("/")
    if not (topic and _is_number(partition) and _is_number(offset)):
        return None
    return Source(topic, int(partition), int(offset))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= _LARGEST_OFFSET
