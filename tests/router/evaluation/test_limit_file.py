"""Limits from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.evaluation.limit_file import FileLimit, limits_over, read_limits, window_lengths
from router.evaluation.problem import REQUESTS, TOKENS

MODELS = ("gpt-4", "gpt-3.5", "claude")


def written(folder: Path, text: str) -> Path:
    path = folder / "limits.toml"
    path.write_text(text, "utf-8")
    return path


def test_limits_of_a_file(tmp_path: Path) -> None:
    """Patterns name models, amounts are dollars or requests, and a multiple scales them."""
    path = written(
        tmp_path,
        '[limits.total]\namount = 1.5\n[limits.gpt]\namount = "0.5"\nmodels = ["gpt-*"]\n'
        '[limits.calls]\namount = 10\nunit = "requests"\nmodels = ["claude"]\n'
        '[limits.length]\namount = 500\nunit = "tokens"\n',
    )
    coverage, amounts = limits_over(read_limits(path), MODELS, 2.0)
    assert coverage.names == ("total", "gpt", "calls", "length")
    assert coverage.unit.tolist() == [0, 0, REQUESTS, TOKENS]
    assert coverage.models.tolist() == [
        [True] * 3,
        [True, True, False],
        [False, False, True],
        [True] * 3,
    ]
    assert amounts.tolist() == [3_000_000_000, 1_000_000_000, 20, 1000]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "needs a table"),
        ("[limits]\ntotal = 3\n", "limits.total must be a table"),
        ("[limits.a]\n", "amount must be a number"),
        ("[limits.a]\namount = -1\n", "must be 0 or more"),
        ("[limits.a]\namount = 'much'\n", "amount must be a number"),
        ("[limits.a]\namount = 1\nunit = 'words'\n", "unit is 'words'"),
        ("[limits.a]\namount = 1\ntenants = 'each'\n", "no tenants"),
        ("[limits.a]\namount = 1\nwindow = 'week'\n", "window is 'week'"),
        ("[limits.a]\namount = 1\nmodels = 'gpt'\n", "must be a list"),
        ("[limits.a]\namount = 1\nunit = ['tokens']\n", "unit is"),
        ("[limits.a]\namount = 1\nwindow = {}\n", "window is"),
        ("[limits.a\n", "limits.toml"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, words: str) -> None:
    """With the file, the table and what is expected."""
    with pytest.raises(ValueError, match=words):
        read_limits(written(tmp_path, text))


def test_a_name_may_hold_signs_of_patterns(tmp_path: Path) -> None:
    """It is the model of that name; and a byte-order mark is skipped."""
    limits = read_limits(written(tmp_path, "\ufeff[limits.a]\namount = 1\nmodels = ['x[70b]']\n"))
    coverage, _ = limits_over(limits, ["x[70b]", "y"], 1.0)
    assert coverage.models.tolist() == [[True, False]]


def test_a_limit_must_cover_a_model(tmp_path: Path) -> None:
    """A pattern that fits nothing is a mistake."""
    path = written(tmp_path, "[limits.a]\namount = 1\nmodels = ['llama*']\n")
    with pytest.raises(ValueError, match="'a' covers no model"):
        limits_over(read_limits(path), MODELS, 1.0)


class TestWindows:
    def test_hours_say_how_many_arrive_in_a_window(self, tmp_path: Path) -> None:
        """240 a day are 10 an hour; a limit without a window has all."""
        path = written(
            tmp_path, "[limits.a]\namount = 1\n[limits.b]\namount = 1\nwindow = 'hour'\n"
        )
        lengths = window_lengths(read_limits(path), 240, 24.0)
        assert lengths is not None
        assert lengths.tolist() == [float("inf"), 10.0]

    def test_without_windows_there_are_none(self, tmp_path: Path) -> None:
        """Nobody needs to know the hours."""
        path = written(tmp_path, "[limits.a]\namount = 1\n")
        assert window_lengths(read_limits(path), 240, 0.0) is None

    @pytest.mark.parametrize(
        ("hours", "words"),
        [
            pytest.param(0.0, "--hours says how long", id="hours that nobody said"),
            pytest.param(24.0, "1440 windows in 24 hours", id="too many windows"),
        ],
    )
    def test_what_is_wrong_is_said(self, hours: float, words: str) -> None:
        """With the limit's name."""
        with pytest.raises(ValueError, match=words):
            window_lengths([FileLimit("calls", 1.0, REQUESTS, ("*",), "minute")], 240, hours)
