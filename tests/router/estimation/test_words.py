"""Words counted by hash, and the shape of texts."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from router.estimation.words import BUCKETS, LONGEST, count_words

texts = st.lists(st.text(max_size=200), max_size=8)


def words_of(text: str) -> list[bytes]:
    """The words, said plainly: runs of letters, digits, underscores and bytes beyond ASCII."""
    cleaned = text.encode("utf-8", "replace").replace(b"\0", b" ")
    return [word.lower() for word in re.findall(rb"[0-9A-Za-z_\x80-\xff]+", cleaned)]


@given(texts)
def test_counts_words_and_pairs(some: list[str]) -> None:
    """Each text counts as many as it has words and pairs of neighbours; none runs into another."""
    counts = count_words(some).words
    assert counts.shape == (len(some), BUCKETS)
    expected = [max(2 * len(words_of(text)) - 1, 0) for text in some]
    assert_array_equal(np.asarray(counts.sum(axis=1)).ravel(), expected)


@given(texts, st.text(max_size=50))
def test_a_text_looks_the_same_in_any_company(some: list[str], text: str) -> None:
    """What is seen of a text does not depend on the others of the call."""
    alone, together = count_words([text]), count_words([*some, text])
    assert_array_equal(together.words.toarray()[-1], alone.words.toarray()[0])
    assert_array_equal(together.shape[-1], alone.shape[0])


def test_same_words_same_buckets() -> None:
    """Case and punctuation do not matter to words, their order matters to pairs."""
    cat, same, other = count_words(["The cat sat.", "the CAT\nsat", "sat cat the"]).words.toarray()
    assert_array_equal(cat, same)
    assert (cat != other).any()
    assert (np.minimum(cat, other).sum(), cat.sum()) == (3, 5)


def test_different_words_rarely_meet() -> None:
    """A thousand words fill nearly a thousand buckets."""
    counts = count_words([f"word{i}" for i in range(1000)]).words
    assert len(np.unique(counts.indices)) > 990


@pytest.mark.parametrize("text", ["", "\0", "\ud800", "é" * 10, "?" * 10 * LONGEST])
def test_takes_any_text(text: str) -> None:
    """Nothing, zeros, broken characters and endless texts are looked at without complaint."""
    seen = count_words([text])
    assert np.isfinite(seen.shape).all()
    assert seen.words.sum() <= 3


def test_no_texts() -> None:
    """No texts give no rows."""
    seen = count_words([])
    assert (seen.words.shape[0], seen.shape.shape[0]) == (0, 0)
