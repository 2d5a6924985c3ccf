"""Bytes per token, learned by category."""

from __future__ import annotations

import numpy as np
import pytest

from router.estimation.token_ratio import ENOUGH, MOST, TokenRatios, in_use


def learned(ratios: list[float]) -> TokenRatios:
    """Show texts of 10,000 bytes a token times 1,000 each."""
    known = TokenRatios()
    for ratio in ratios:
        known.observe("prose", round(ratio * 1_000), 1_000)
    return known


def test_a_category_counts_when_enough_is_known() -> None:
    """Before that, and elsewhere, four bytes are a token."""
    few, enough = learned([2.0] * (ENOUGH - 1)), learned([2.0] * ENOUGH)
    assert few.tokens("prose", 4_000) == 1_000
    assert enough.tokens("prose", 4_000) == 2_000
    assert enough.tokens("code", 4_001) == 1_001


def test_the_mean_forgets() -> None:
    """After many texts of another ratio it is theirs."""
    known = learned([2.0] * 50 + [5.0] * 2_000)
    assert known.tokens("prose", 5_000, conservative=False) == pytest.approx(1_000, rel=0.01)


def test_few_texts_have_more_tokens_than_the_conservative_ratio_says() -> None:
    """As usage goes on: of the mean it is half."""
    random = np.random.default_rng(0)
    sizes = (4_000 * np.exp(random.normal(0, 0.15, 2_000))).round().astype(int).tolist()
    known, careful, usual = TokenRatios(), 0, 0
    for size in sizes:
        careful += known.tokens("prose", size) < 1_000
        usual += known.tokens("prose", size, conservative=False) < 1_000
        known.observe("prose", size, 1_000)
    assert careful / len(sizes) < 0.03
    assert usual / len(sizes) == pytest.approx(0.5, abs=0.05)


def test_nothing_is_learned_from_nothing() -> None:
    """A text without bytes, or usage without tokens."""
    known = TokenRatios()
    for _ in range(ENOUGH):
        known.observe("prose", 0, 10)
        known.observe("prose", 10, 0)
    assert known.tokens("prose", 40) == 10


def test_categories_are_bounded() -> None:
    """What comes after them goes by the default."""
    known = TokenRatios()
    for number in range(MOST + 1):
        for _ in range(ENOUGH):
            known.observe(str(number), 200, 100)
    assert known.tokens(str(MOST - 1), 100) == 50
    assert known.tokens(str(MOST), 100) == 25


def test_what_was_learned_goes_on_from_a_snapshot() -> None:
    """As a controller does that takes over."""
    ratios = [2.0, 3.0, 2.5] * ENOUGH
    known = TokenRatios(learned(ratios[:12]).snapshot())
    for ratio in ratios[12:]:
        known.observe("prose", round(ratio * 1_000), 1_000)
    assert known.snapshot() == learned(ratios).snapshot()


def test_ratios_in_use_are_rounded_down() -> None:
    """To a tenth of a byte, of the categories of which enough is known."""
    assert in_use(learned([3.27] * ENOUGH).snapshot()) == {"prose": 3.2}
    assert in_use(learned([3.27] * (ENOUGH - 1)).snapshot()) == {}


@pytest.mark.parametrize(("size", "tokens", "ratio"), [(100, 10**9, 1.0), (10**9, 1, 8.0)])
def test_no_usage_makes_a_ratio_absurd(size: int, tokens: int, ratio: float) -> None:
    """A token has a byte at least, and not many more than in any text."""
    known = TokenRatios()
    for _ in range(ENOUGH):
        known.observe("prose", size, tokens)
    assert in_use(known.snapshot()) == {"prose": ratio}


def test_news_are_told_once() -> None:
    """That are of ratios in use; what was known at first is none."""
    known = learned([3.0] * (ENOUGH - 1))
    assert not known.take_news()
    known.observe("prose", 3_000, 1_000)
    assert [known.take_news(), known.take_news()] == [True, False]
    assert not TokenRatios(known.snapshot()).take_news()
