"""Bytes per token by category of text, learned from the usage that answers report."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(slots=True)
class _Known:
    mean: float
    conservative: float
    count: int = 1


class TokenRatios:
    """Estimates prompt tokens by the bytes of a text (arXiv 2604.09613).

    Of each category it keeps the decayed mean of bytes a token, and a conservative ratio that
    follows low observations at once and high ones slowly, so that few texts have more tokens than
    it says.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def observe(self, category: str, size: int, prompt_tokens: int) -> None:
        """Learn from one answer's usage.

        Args:
            category: Of the text.
            size: Its bytes; nothing is learned of an empty one.
            prompt_tokens: As the model's server counted them.
        """
        if size < 1 or prompt_tokens < 1:
            return
        ratio = size / prompt_tokens
        known = self._known.get(category)
        if known is None:
            if len(self._known) < MOST:
                self._known[category] = _Known(ratio, ratio)
            return
        known.count += 1
        # The first observations weigh alike: else the very first would count for hundreds.
        known.mean += max(1 - DECAY, 1 / known.count) * (ratio - known.mean)
        part = DOWN if ratio < known.conservative else UP
        known.conservative += part * (ratio - known.conservative)

    def tokens(self, category: str, size: int, conservative: bool = True) -> int:
        """Return how many tokens a text of `size` bytes probably has, rounded up.

        Args:
            category: Of the text.
            size: Its bytes.
            conservative: Whether few texts may have more; else it is the mean.
        """
        known = self._known.get(category)
        if known is None or known.count < ENOUGH:
            return _up(size, DEFAULT)
        return _up(size, known.conservative if conservative else known.mean)


def _up(size: int, ratio: float) -> int:
    return int(-(-size // ratio))
