"""What must hold of a partition's fields: no module but its own assigns them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

STREAMS = Path(__file__).parents[3] / "streams"
OWN = {STREAMS / "state" / "partition.py"}
NAMES = {"partition", "each", "one"}
"""What a partition is called where it is used."""


def fields(target: ast.expr) -> Iterator[str]:
    """Names of the variables whose attributes, or their items, an assignment changes."""
    while isinstance(target, ast.Attribute | ast.Subscript):
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            yield target.value.id
        target = target.value


def written(source: str) -> list[int]:
    """Lines that assign a field of a partition."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete):
            targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else [node.target]
            found += [node.lineno for each in targets if NAMES & set(fields(each))]
    return found


def test_a_partition_is_changed_by_its_methods() -> None:
    """So that all that a commit writes is found in one file."""
    others = [file for file in STREAMS.rglob("*.py") if file not in OWN]
    assert {file.name: at for file in others if (at := written(file.read_text()))} == {}


@pytest.mark.parametrize(
    "statement",
    [
        "partition.settled = 3",
        "partition.positions['queries'].decided += 1",
        "del partition.retried['queries']",
    ],
)
def test_an_assignment_would_be_found(statement: str) -> None:
    """To a field, to what a field holds, and to an item of it."""
    assert written(statement) == [1]
