"""Answers against references."""

from __future__ import annotations

import pytest

from streams.learn.scoring import SCORERS, check_reference, checked, own


@pytest.mark.parametrize(
    ("scoring", "text", "reference", "score"),
    [
        ("exact", " Paris.\n", "paris", 1),
        ("exact", "Paris, France", "Paris", 0),
        ("numeric", "So 3 + 4 = 7.", 7, 1),
        ("numeric", "It is $1,234.50", "1234.5", 1),
        ("numeric", "7 and then 8", 7, 0),
        ("numeric", "none", 7, 0),
        ("regex", "the answer: 42", r"answer:\s*42", 1),
        ("regex", "no", "yes", 0),
        ("choice", "The answer is (B).", "B", 1),
        ("choice", "B", "(b)", 1),
        ("choice", "A. because not B", "B", 1),
        ("choice", "Because of this, C.", "A", 0),
        ("choice", "", "A", 0),
    ],
)
def test_scores(scoring: str, text: str, reference: object, score: float) -> None:
    """Each kind of reference finds what it looks for, and nothing else."""
    assert SCORERS[scoring](text, reference) == score


def test_one_s_own() -> None:
    """A function is named by module; what is none, or gives no score, is said."""
    assert own("streams.learn.scoring:exact") is SCORERS["exact"]
    for wrong in ("nowhere:f", "streams.learn.scoring:nothing", "streams", "math:pi"):
        with pytest.raises(ValueError, match=wrong.partition(":")[0]):
            own(wrong)
    with pytest.raises(ValueError, match="from 0 to 1"):
        checked(1.5, "prompt a")


@pytest.mark.parametrize(
    ("scoring", "reference", "words"),
    [
        ("exact", None, "let a judge"),
        ("exact", " ", "let a judge"),
        ("numeric", "many", "needs a number"),
        ("choice", "Paris", "one letter"),
        ("regex", "(", "no regular expression"),
    ],
)
def test_references_that_no_answer_agrees_with(scoring: str, reference: object, words: str) -> None:
    """They are refused before answers are paid for; those that can be compared are not."""
    with pytest.raises(ValueError, match=words):
        check_reference(scoring, reference)
    for good in ("exact", 0), ("numeric", "$1,234"), ("choice", "(b)."), ("regex", "a|b"):
        check_reference(*good)
