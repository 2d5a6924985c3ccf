"""Scores of answers by a reference: 1 where an answer agrees with it, else 0."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from schemas.invalid import Invalid

Scorer = Callable[[str, Any], float]
"""Of an answer's text and its reference: a score from 0 to 1."""

_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+]?\.\d+")
_CHOICE = re.compile(r"(?<![A-Za-z])\(?([A-Za-z])(?:\)|\.|:|$|(?=\s*$))")
LONGEST = 100_000
"""Characters of an answer that a regular expression is matched against."""


def exact(text: str, reference: Any) -> float:
    """The same words, whatever their case and the blanks and full stop around them."""
    return float(_plain(text) == _plain(str(reference)))


def numeric(text: str, reference: Any) -> float:
    """The last number of the answer is that of the reference, to six digits."""
    found, wanted = _last_number(text), _last_number(str(reference))
    if found is None or wanted is None:
        return 0.0
    return float(math.isclose(found, wanted, rel_tol=1e-6, abs_tol=1e-9))


def pattern(text: str, reference: Any) -> float:
    """The regular expression of the reference matches somewhere."""
    return float(re.search(str(reference), text[:LONGEST]) is not None)


def choice(text: str, reference: Any) -> float:
    """The last letter that stands for a choice, as in "(B)" or "B.", is that of the reference."""
    found = _CHOICE.findall(text.strip())
    return float(bool(found) and found[-1].upper() == str(reference).strip(" ().").upper())


SCORERS: Mapping[str, Scorer] = {
    "exact": exact,
    "numeric": numeric,
    "regex": pattern,
    "choice": choice,
}


def check_reference(scoring: str, reference: Any) -> None:
    """Check that answers can be compared with a reference, before any is paid for.

    Args:
        scoring: One of `SCORERS`.
        reference: What a right answer says.

    Raises:
        ValueError: Every answer would score 0, or none could be scored.
    """
    text = str(reference).strip()
    if reference is None or not text:
        raise ValueError(f"answer: scoring {scoring} compares with it: give one, or let a judge")
    if scoring == "numeric" and _last_number(text) is None:
        raise ValueError("answer: scoring numeric needs a number in it")
    if scoring == "choice" and not re.fullmatch("[A-Za-z]", text.strip(" ().")):
        raise ValueError("answer: scoring choice needs one letter")
    if scoring == "regex":
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(f"answer: it is no regular expression: {error}") from None


def own(name: str) -> Scorer:
    """Import a function of the user's: MODULE:FUNCTION.

    Raises:
        ValueError: There is no such function.
    """
    module, colon, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute) if colon else None
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{name}: {error}") from None
    if not callable(found):
        raise ValueError(f"{name!r} is not MODULE:FUNCTION of a function")
    scorer: Scorer = found
    return scorer


def checked(score: float, where: str) -> float:
    """Return a score. Raises Invalid where it is none: a function of a user's may be wrong."""
    value = float(score)
    if not 0 <= value <= 1:
        raise Invalid("invalid_field", f"{where}: a score must be from 0 to 1, not {score!r}")
    return value


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".").casefold()


def _last_number(text: str) -> float | None:
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None
