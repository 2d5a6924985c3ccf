"""Bytes per token by category of text, learned from the usage that answers report."""

from __future__ import annotations

import math
from collections.abc import Mapping

from schemas.content import TextKind
from schemas.price import TokenRatio

DEFAULT = 4.0
"""Bytes a token, until enough is known of a category."""
ENOUGH = 10
"""Observations from which a category's own ratios count."""
DECAY = 0.995
"""What the mean keeps of its value at each observation."""
DOWN, UP = 0.9, 0.1
"""Parts of the way to a lower or a higher observation that the conservative ratio moves."""
MOST = 256
"""Categories that are told apart; further ones share the default."""
LEAST_RATIO, MOST_RATIO = 1.0, 8.0
"""No byte-level tokenizer makes more tokens of a text than it has bytes; a text of so many bytes a
token is none that others are like."""
STEPS = 10
"""Ratios in use are rounded down to such parts of a byte, so that few new ones are published."""


def category(model: str, kind: TextKind) -> str:
    """Return the category of texts of a kind, as a model's server counts them."""
    return f"{model}\t{kind}"


class TokenRatios:
    """Estimates prompt tokens by the bytes of a text (arXiv 2604.09613).

    Of each category it keeps the decayed mean of bytes a token, and a conservative ratio that
    follows low observations at once and high ones slowly. Few texts have more tokens than the lower
    of this one and of the mean less two standard deviations (the latter is ours) says.
    """

    def __init__(self, known: Mapping[str, TokenRatio] | None = None) -> None:
        """Args:
        known: What was learned before, by category.
        """
        self._known = dict(known or {})
        self._told = in_use(self._known)

    def observe(self, category: str, size: int, prompt_tokens: int) -> None:
        """Learn from one answer's usage.

        Args:
            category: Of the text.
            size: Its bytes; nothing is learned of an empty one.
            prompt_tokens: As the model's server counted them.
        """
        if size < 1 or prompt_tokens < 1:
            return
        ratio = min(max(size / prompt_tokens, LEAST_RATIO), MOST_RATIO)
        known = self._known.get(category)
        if known is None:
            if len(self._known) < MOST:
                self._known[category] = TokenRatio(mean=ratio, conservative=ratio)
            return
        # The first observations weigh alike: else the very first would count for hundreds.
        part = max(1 - DECAY, 1 / (known.count + 1))
        off = ratio - known.mean
        toward = DOWN if ratio < known.conservative else UP
        self._known[category] = TokenRatio(
            mean=known.mean + part * off,
            conservative=known.conservative + toward * (ratio - known.conservative),
            variance=(1 - part) * (known.variance + part * off * off),
            count=known.count + 1,
        )

    def tokens(self, category: str, size: int, conservative: bool = True) -> int:
        """Return how many tokens a text of `size` bytes probably has, rounded up.

        Args:
            category: Of the text.
            size: Its bytes.
            conservative: Whether few texts may have more; else it is the mean.
        """
        known = self._known.get(category)
        if known is None or known.count < ENOUGH:
            return math.ceil(size / DEFAULT)
        return math.ceil(size / (_tail(known) if conservative else known.mean))

    def take_news(self) -> bool:
        """Return whether the ratios in use are others than at the last call, or at first."""
        told, self._told = self._told, in_use(self._known)
        return told != self._told

    def snapshot(self) -> dict[str, TokenRatio]:
        """Return all that has been learned, by category."""
        return dict(self._known)


def in_use(known: Mapping[str, TokenRatio]) -> dict[str, float]:
    """Return bytes a token that decisions go by, of the categories of which enough is known."""
    return {
        category: math.floor(_tail(one) * STEPS) / STEPS
        for category, one in known.items()
        if one.count >= ENOUGH
    }


def _tail(known: TokenRatio) -> float:
    return max(min(known.conservative, known.mean - 2 * math.sqrt(known.variance)), LEAST_RATIO)
