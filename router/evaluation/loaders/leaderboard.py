"""Open LLM Leaderboard v2: a folder with each model's details, one row a question.

Below the folder stands one folder (or file) a model, named as on the hub
(`<maker>__<model>-details`), with the evaluation harness's samples as parquet: `doc_id`,
`doc_hash`, `arguments` (the prompts), `resps`, and one of the harness's metrics. Questions are
matched by `doc_hash` and `doc_id`. Costs are characters / 4 times prices, for the prompt and (where
the model wrote one) the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from router.evaluation.datasets import Dataset, DatasetError
from router.evaluation.loaders.prices import CHARACTERS_A_TOKEN, Prices, priced
from schemas.fields import NANO

METRICS = ("acc_norm", "acc", "exact_match", "prompt_level_strict_acc")
"""The metrics of BBH, GPQA and MuSR; of MMLU-Pro; of MATH; of IFEval."""
COLUMNS = ("doc_id", "doc_hash", "arguments", "resps", "task", *METRICS)
Rows = Mapping[str, Sequence[Any]]


def model_name(folder: str) -> str:
    """`maker__model-details` is maker/model."""
    return folder.removesuffix("-details").replace("__", "/")


def dataset(
    parts: Sequence[tuple[str, str, Rows]], where: str, prices: Prices | None = None
) -> Dataset:
    """parts: (model, task, columns) of each file. Raises DatasetError."""
    models = tuple(dict.fromkeys(model for model, _, _ in parts))
    rates = priced(models, prices, where)
    places: dict[str, int] = {}
    tasks: list[str] = []
    prompts: list[str] = []
    cells: dict[tuple[int, int], tuple[float, float]] = {}
    for model, task, rows in parts:
        metric = next((name for name in METRICS if name in rows), None)
        if metric is None:
            raise DatasetError(f"{where}: {model}, {task}: no metric ({', '.join(METRICS)})")
        for i, value in enumerate(rows[metric]):
            key = f"{task}/{rows['doc_hash'][i]}/{rows['doc_id'][i]}"
            prompt = _first_text(rows["arguments"][i])
            if key not in places:
                places[key] = len(places)
                tasks.append(str(rows["task"][i]) if "task" in rows else task)
                prompts.append(prompt or " ")
            if value is None:
                continue
            answer = _first_text(rows["resps"][i]) if "resps" in rows else ""
            read, written = (len(part) / CHARACTERS_A_TOKEN for part in (prompt, answer))
            cost = (read * rates[model][0] + written * rates[model][1]) / 1e6
            cells[places[key], models.index(model)] = float(value), cost
    scores = np.full((len(places), len(models)), np.nan)
    costs = np.full_like(scores, np.nan)
    for place, (score, cost) in cells.items():
        scores[place], costs[place] = score, cost * NANO
    if not (np.isnan(scores) | ((scores >= 0) & (scores <= 1))).all():
        raise DatasetError(f"{where}: scores must lie in 0..1")
    return Dataset(list(places), tasks, prompts, models, scores, costs)


def _first_text(value: Any) -> str:
    """The first text in nested lists and structs: the prompt of `arguments`, the answer of `resps`.

    The log-likelihoods of a multiple choice ("-12.3") are no answer.
    """
    while isinstance(value, list | tuple | dict):
        parts = list(value.values()) if isinstance(value, dict) else list(value)
        value = next((part for part in parts if part is not None), "")
    found = str(value)
    try:
        float(found)
    except ValueError:
        return found
    return ""
