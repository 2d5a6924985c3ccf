"""`sluice demo`: what it refuses, and the tables it prints. (Whole demos run in tests/e2e.)"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from streams.cli import demo
from streams.demo.figures import ModelSpending
from tests.streams.demo.test_figures import POLICY
from tests.support.command import run


def test_a_folder_that_exists_is_refused(tmp_path: Path) -> None:
    """Nothing of the user's is written over."""
    code, _, stderr = run("demo", "--keep", tmp_path)
    assert code == 2
    assert "already exists" in " ".join(stderr.replace("│", " ").split())


def test_too_few_queries_are_refused() -> None:
    """Wrong usage, before anything starts."""
    assert run("demo", "--queries", "1")[0] == 2


def test_cells() -> None:
    """In the order of the table's columns, money in dollars."""
    cells = demo._cells("as it ran", POLICY)
    assert cells == ("as it ran", "98.0", "40.0", "2.0000", "20", "50", "3", "0", "1")


def test_money() -> None:
    """A limit of 0 divides nothing."""
    table = demo._money([ModelSpending("small", 25 * 10**7, 10**9, 0), ModelSpending("x", 0, 0, 0)])
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table)
    assert "25.0" in captured.get()
    assert "0.250000" in captured.get()
