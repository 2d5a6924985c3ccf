"""What must hold of decision ids: they name coordinates, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import Source
from streams.state.decision_ids import decision_id, parse_decision_id

NUMBERS = st.integers(0, 2**63 - 1)


@given(topic=st.from_regex(r"[a-zA-Z0-9._-]+", fullmatch=True), partition=NUMBERS, offset=NUMBERS)
def test_coordinates_are_read_back(topic: str, partition: int, offset: int) -> None:
    """Of any topic that Kafka allows."""
    source = Source(topic, partition, offset)
    assert parse_decision_id(decision_id(source)) == source


@pytest.mark.parametrize(
    "text",
    ["", "queries", "queries/0", "/0/1", "queries//1", "queries/0/", "queries/0/-1", "q/0/1/2",
     "queries/0/1e3", "queries/0/²", "queries/0/٣", "queries/0/" + "9" * 19,
     "queries/0/" + "1" * 30,     "queries/0/ 1"],
)  # fmt: skip
def test_other_text_is_none(text: str) -> None:
    """Whatever a worker sends in its place."""
    assert parse_decision_id(text) is None


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    """It raises nothing; what it reads names one row, whose own id is compared next."""
    found = parse_decision_id(text)
    assert found is None or found.offset >= 0
