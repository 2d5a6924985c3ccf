"""Prompt tokens of images beyond those that a model declares, learned from the usage of answers."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.price import ImageTokens

DIGITS = 4
"""Binary digits of a learned number: rounded up so, few new ones are published."""


class ImageMaxima:
    """The most tokens that an image has taken, of models whose `image_tokens` was too low.

    What was learned belongs to the number that was declared then: a new one is believed until
    answers say otherwise.
    """

    def __init__(self, known: Mapping[str, ImageTokens] | None = None) -> None:
        """Args:
        known: What was learned before, by model.
        """
        self._known = dict(known or {})
        self._has_news = False

    def observe(self, model: str, declared: int, tokens: int) -> bool:
        """Learn from an answer whose prompt took more tokens than were reserved.

        Args:
            model: That has answered.
            declared: Tokens that it declares for each image.
            tokens: That each image of the prompt has taken.

        Returns:
            Whether more are reserved for an image from now on.
        """
        known = self._known.get(model)
        if known is not None and known.declared == declared and known.tokens >= tokens:
            return False
        step = 1 << max(tokens.bit_length() - DIGITS, 0)
        self._known[model] = ImageTokens(declared=declared, tokens=-(-tokens // step) * step)
        self._has_news = True
        return True

    def take_news(self) -> bool:
        """Return whether anything was learned since the last call."""
        news, self._has_news = self._has_news, False
        return news

    def snapshot(self) -> dict[str, ImageTokens]:
        """Return all that has been learned, by model."""
        return dict(self._known)
