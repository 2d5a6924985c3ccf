"""One row a query, one column a model: the layout of RouterBench (arXiv 2403.12031).

Columns `sample_id`, `prompt`, `eval_name`; for each model its score under its own name and its
cost in dollars under `<model>|total_cost`. Others (`<model>|model_response`,
`oracle_model_to_route_to`) are not read. PORT's tables of the Open LLM Leaderboard v2 have the same
layout without costs: there, costs are the prompt's length times prices (`loaders/prices.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from router.arrays import Floats
from router.evaluation.datasets import Dataset, DatasetError
from router.evaluation.loaders.prices import CHARACTERS_A_TOKEN, Prices, priced
from schemas.fields import NANO

COST = "|total_cost"
NOT_MODELS = frozenset(
    ("sample_id", "prompt", "eval_name", "oracle_model_to_route_to", "index", "task", "id")
)
LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


def dataset(
    columns: Mapping[str, Sequence[Any]], where: str, prices: Prices | None = None
) -> Dataset:
    """A table of this layout. Raises DatasetError, which begins with `where`."""
    if "prompt" not in columns:
        raise DatasetError(f"{where}: no column 'prompt' among {_some(columns)}")
    models = [name.removesuffix(COST) for name in columns if name.endswith(COST)]
    prompts = [text(value) for value in columns["prompt"]]
    if models:
        lacking = [name for name in models if name not in columns]
        if lacking:
            raise DatasetError(f"{where}: costs but no scores of {', '.join(lacking)}")
        costs = np.column_stack([numbers(columns[name + COST], where, name) for name in models])
    else:
        models = [name for name in columns if name not in NOT_MODELS and "|" not in name]
        if not models:
            raise DatasetError(f"{where}: no model's column among {_some(columns)}")
        tokens = np.array([[len(prompt) / CHARACTERS_A_TOKEN] for prompt in prompts])
        rates = priced(models, prices, where)
        costs = tokens * np.array([[rates[name][0] for name in models]]) / 1e6
    scores = np.column_stack([numbers(columns[name], where, name) for name in models])
    if not (np.isnan(scores) | ((scores >= 0) & (scores <= 1))).all():
        raise DatasetError(f"{where}: scores must lie in 0..1")
    if not (np.isnan(costs) | (costs >= 0)).all():
        raise DatasetError(f"{where}: costs must not be negative")
    rows = range(len(prompts))
    tasks = columns.get("eval_name", columns.get("task"))
    ids = columns.get("sample_id", columns.get("id"))
    return Dataset(
        ids=unique([str(row) for row in rows] if ids is None else [str(name) for name in ids]),
        tasks=["" for _ in rows] if tasks is None else [str(task) for task in tasks],
        prompts=prompts,
        models=tuple(models),
        scores=scores,
        costs=costs * NANO,
    )


def text(value: Any) -> str:
    """A prompt: text, a list of turns, or the Python text of such a list (RouterBench)."""
    if isinstance(value, str):
        if value.startswith(("['", '["')) and value.endswith(("']", '"]')):
            turns = [single or double for single, double in LITERAL.findall(value)]
            return "\n".join(ESCAPE.sub(_unescape, turn) for turn in turns) or value
        return value
    if isinstance(value, list | tuple | np.ndarray):
        return "\n".join(str(turn) for turn in value)
    return str(value)


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code is None:
        return ESCAPED.get(match[4], match[4])
    number = int(code, 16)
    return chr(number) if number <= 0x10FFFF else match[0]


def numbers(values: Sequence[Any], where: str, column: str) -> Floats:
    """float64[n]; None is NaN. Raises DatasetError for text."""
    try:
        plain = [np.nan if value is None else value for value in values]
        return np.array(plain, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{where}: column {column!r} holds more than numbers") from error


def unique(ids: Sequence[str]) -> list[str]:
    """The ids, with #2, #3, … after those that appear again."""
    seen: dict[str, int] = {}
    found = []
    for name in ids:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return found


def _some(columns: Mapping[str, Any]) -> str:
    names = list(columns)
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
