"""Scores of answers by a reference: 1 where an answer agrees with it, else 0."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

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
    """Return a score. Raises ValueError where it is none: a function of a user's may be wrong."""
    value = float(score)
    if not 0 <= value <= 1:
        raise ValueError(f"{where}: a score must be from 0 to 1, not {score!r}")
    return value


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".").casefold()


def _last_number(text: str) -> float | None:
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None
