"""What models cost by the token, for data that counts tokens but not money."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from router.evaluation.datasets import DatasetError

Prices = Mapping[str, tuple[float, float]]
"""Dollars per million tokens by model: (input, output)."""
FILE = "prices.json"
"""Beside the data: {"model": [input, output]} in dollars per million tokens."""
CHARACTERS_A_TOKEN = 4.0

SPROUT: Prices = {
    "aws-claude-3-5-sonnet-v1": (3.0, 15.0),
    "aws-titan-text-premier-v1": (0.5, 1.5),
    "openai-gpt-4o": (2.5, 10.0),
    "openai-gpt-4o-mini": (0.15, 0.6),
    "openai-o3-mini": (1.1, 4.4),
    "wxai-granite-3-2b-instruct-8k-max-tokens": (0.1, 0.1),
    "wxai-granite-3-8b-instruct-8k-max-tokens": (0.2, 0.2),
    "wxai-llama-3-1-70b-instruct": (0.9, 0.9),
    "wxai-llama-3-1-8b-instruct": (0.2, 0.2),
    "wxai-llama-3-2-1b-instruct": (0.06, 0.06),
    "wxai-llama-3-2-3b-instruct": (0.06, 0.06),
    "wxai-llama-3-3-70b-instruct": (0.9, 0.9),
    "wxai-llama-3-405b-instruct": (3.5, 3.5),
    "wxai-mixtral-8x7b-instruct-v01": (0.6, 0.6),
}
"""SPROUT's models, as priced by its authors (CARROT, arXiv 2502.03261); o3-mini by list price."""


def beside(path: Path) -> Prices | None:
    """The prices in the folder of the data, if there is such a file. Raises DatasetError."""
    file = (path if path.is_dir() else path.parent) / FILE
    if not file.is_file():
        return None
    try:
        given = orjson.loads(file.read_bytes())
        return {str(name): _pair(pair) for name, pair in given.items()}
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError) as error:
        raise DatasetError(
            f'{file}: must be {{"model": [input, output]}} in dollars per million tokens ({error})'
        ) from error


def priced(models: Iterable[str], prices: Prices | None, where: str) -> Prices:
    """The prices of these models. Raises DatasetError where one has none."""
    known = {**SPROUT, **(prices or {})}
    lacking = [name for name in models if name not in known]
    if lacking:
        raise DatasetError(
            f"{where}: no costs and no prices of {', '.join(lacking[:5])}; put a {FILE} beside it: "
            '{"model": [input, output]} in dollars per million tokens'
        )
    return known


def _pair(pair: Any) -> tuple[float, float]:
    first, second = (float(price) for price in pair)
    if not (0 <= first < 1e6 and 0 <= second < 1e6):
        raise ValueError(f"{pair} are no prices")
    return first, second
