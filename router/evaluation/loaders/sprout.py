"""SPROUT (CARROT, arXiv 2502.03261): one row a query, one struct column a model.

Columns `key`, `dataset`, `prompt`, `golden_answer`, …; each model's struct has `response`, `score`,
`num_input_tokens`, `num_output_tokens`. Costs are tokens times prices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from router.evaluation.datasets import Dataset, DatasetError
from router.evaluation.loaders.prices import Prices, priced
from router.evaluation.loaders.wide import numbers, text, unique
from schemas.fields import NANO

FIELDS = ("score", "num_input_tokens", "num_output_tokens")


def dataset(
    columns: Mapping[str, Sequence[Any]],
    models: Mapping[str, Mapping[str, Sequence[Any]]],
    where: str,
    prices: Prices | None = None,
) -> Dataset:
    """columns: `key`, `dataset`, `prompt`; models: FIELDS by model. Raises DatasetError."""
    rates = priced(models, prices, where)
    scores, costs = [], []
    for name, fields in models.items():
        score, tokens_in, tokens_out = (numbers(fields[field], where, name) for field in FIELDS)
        scores.append(score)
        costs.append((tokens_in * rates[name][0] + tokens_out * rates[name][1]) / 1e6)
    table = np.column_stack(scores)
    if not (np.isnan(table) | ((table >= 0) & (table <= 1))).all():
        raise DatasetError(f"{where}: scores must lie in 0..1")
    count = len(table)
    return Dataset(
        ids=unique([str(key) for key in columns.get("key", range(count))]),
        tasks=[str(task) for task in columns.get("dataset", [""] * count)],
        prompts=[text(prompt) for prompt in columns["prompt"]],
        models=tuple(models),
        scores=table,
        costs=np.column_stack(costs) * NANO,
    )
