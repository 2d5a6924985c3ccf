"""Recorded outcomes of several models on the same queries, and how they are cut into history
and arrivals."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from router.arrays import Floats, Ints, Vectors
from router.estimation.history import History
from router.evaluation.lines import DatasetError as DatasetError
from router.evaluation.lines import lines
from router.models.catalog import Model, ModelCatalog
from schemas.fields import NANO

TOKENS = "tokens"
BLOCK = 10_000
"""Lines that become arrays together: as objects they take ten times the memory."""
ONE_NANO_A_TOKEN = 1_000_000
"""The price per million tokens that makes an output token cost one nano-unit."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """n queries with every model's outcome.

    Attributes:
        ids: n query ids.
        tasks: n names of tasks.
        prompts: n texts.
        models: M names.
        scores: float64[n, M] in 0..1, NaN where no outcome is recorded.
        costs: float64[n, M] nano-dollars, NaN where no outcome is recorded.
        tokens: float64[n, M], of prompt and answer together, NaN where no outcome is recorded; None
            where they are recorded nowhere.
    """

    ids: Sequence[str]
    tasks: Sequence[str]
    prompts: Sequence[str]
    models: tuple[str, ...]
    scores: Floats
    costs: Floats
    tokens: Floats | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Ints) -> Dataset:
        """Return the queries at int64[m] `rows`, in that order."""
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            tasks=[self.tasks[row] for row in rows],
            prompts=[self.prompts[row] for row in rows],
            scores=self.scores[rows],
            costs=self.costs[rows],
            tokens=None if self.tokens is None else self.tokens[rows],
        )

    def with_models(self, names: Iterable[str]) -> Dataset:
        """Return the same queries with these models only, in this order.

        Raises:
            KeyError: A name is unknown.
        """
        chosen = tuple(names)
        column = {name: i for i, name in enumerate(self.models)}
        columns = [column[name] for name in chosen]
        return replace(
            self,
            models=chosen,
            scores=self.scores[:, columns],
            costs=self.costs[:, columns],
            tokens=None if self.tokens is None else self.tokens[:, columns],
        )

    def split(self, test_fraction: float = 0.35, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Draw a history and the queries to route, in order of arrival: the paper's protocol.

        Args:
            test_fraction: Part of the queries that is routed.
            seed: Of the draw.

        Returns:
            The history and the queries.

        Raises:
            ValueError: Either part would be empty.
        """
        order = np.random.default_rng(seed).permutation(len(self))
        arrivals = round(len(self) * test_fraction)
        if not 0 < arrivals < len(self):
            raise ValueError(
                f"a test fraction of {test_fraction} leaves {len(self) - arrivals} of {len(self)} "
                f"queries for the history and {arrivals} to route: both must be at least 1"
            )
        return self.take(order[arrivals:]), self.take(order[:arrivals])

    def catalog(self) -> ModelCatalog:
        """Return the models, priced so that one output token is one nano-dollar.

        A recorded cost is then a number of tokens, and the highest one recorded of a model is the
        most it can answer with.
        """
        known = np.where(np.isfinite(self.costs), self.costs, 0.0)
        dearest = known.max(axis=0, initial=0.0)
        return ModelCatalog(
            Model(name, 0, ONE_NANO_A_TOKEN, max(1, math.ceil(dearest[i])), context=1_000_000_000)
            for i, name in enumerate(self.models)
        )

    def history(self, embeddings: Vectors) -> History:
        """These outcomes as the ground for estimates. embeddings: float32[n, dim], unit norm."""
        if len(embeddings) != len(self):
            raise ValueError(f"{len(embeddings)} embeddings for {len(self)} queries")
        return History(self.ids, embeddings, self.scores, self.costs)


def read_jsonl(path: str | Path) -> Dataset:
    """Read `{"id", "task", "prompt", "scores": {model: 0..1}, "cost_usd": {model: dollars}}`
    a line, plain or gzip, and `"tokens": {model: number}` on every line or none. Raises
    DatasetError, which names file, line and field.
    """
    path = Path(path)
    parts: list[Dataset] = []
    records: list[Mapping[str, Any]] = []
    ids: set[str] = set()
    for number, line in lines(path):
        record = _record(line, f"{path}, line {number}")
        if record["id"] in ids:
            raise DatasetError(f"{path}, line {number}: id {record['id']!r} appears a second time")
        ids.add(record["id"])
        records.append(record)
        if len(records) == BLOCK:
            parts.append(_dataset(records))
            records = []
    if records:
        parts.append(_dataset(records))
    if not parts:
        raise DatasetError(f"{path}: no queries in it")
    return parts[0] if len(parts) == 1 else joined(parts)


def _dataset(records: Sequence[Mapping[str, Any]]) -> Dataset:
    models = tuple(dict.fromkeys(name for record in records for name in record["scores"]))
    return Dataset(
        ids=[record["id"] for record in records],
        tasks=[record.get("task", "") for record in records],
        prompts=[record["prompt"] for record in records],
        models=models,
        scores=_table(records, "scores", models),
        costs=_table(records, "cost_usd", models) * NANO,
        tokens=_table(records, TOKENS, models) if all(TOKENS in one for one in records) else None,
    )


def joined(parts: Sequence[Dataset]) -> Dataset:
    """All queries of at least one dataset, with the models of all; of an id that comes twice the
    last counts."""
    last = {id: (i, row) for i, part in enumerate(parts) for row, id in enumerate(part.ids)}
    rows: list[list[int]] = [[] for _ in parts]
    for i, row in last.values():
        rows[i].append(row)
    kept = [
        part.take(np.array(sorted(which), dtype=np.int64))
        for part, which in zip(parts, rows, strict=True)
    ]
    models = tuple(dict.fromkeys(name for part in parts for name in part.models))
    column = {name: place for place, name in enumerate(models)}

    def table(outcomes: Callable[[Dataset], Floats]) -> Floats:
        whole = np.full((len(last), len(models)), np.nan)
        begin = 0
        for part in kept:
            places = [column[name] for name in part.models]
            whole[begin : begin + len(part), places] = outcomes(part)
            begin += len(part)
        return whole

    return Dataset(
        ids=[id for part in kept for id in part.ids],
        tasks=[task for part in kept for task in part.tasks],
        prompts=[prompt for part in kept for prompt in part.prompts],
        models=models,
        scores=table(lambda part: part.scores),
        costs=table(lambda part: part.costs),
        tokens=None
        if any(part.tokens is None for part in kept)
        else table(lambda part: part.costs if part.tokens is None else part.tokens),
    )


def write_jsonl(dataset: Dataset, path: str | Path) -> None:
    """Write what `read_jsonl` reads; gzip where the name ends in .gz (same data, same bytes)."""
    records = []
    for row in range(len(dataset)):
        known = [i for i in range(len(dataset.models)) if np.isfinite(dataset.scores[row, i])]
        record = {
            "id": dataset.ids[row],
            "task": dataset.tasks[row],
            "prompt": dataset.prompts[row],
            "scores": {dataset.models[i]: float(dataset.scores[row, i]) for i in known},
            "cost_usd": {dataset.models[i]: float(dataset.costs[row, i]) / NANO for i in known},
        }
        if dataset.tokens is not None:
            record[TOKENS] = {dataset.models[i]: float(dataset.tokens[row, i]) for i in known}
        records.append(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
    data = b"".join(records)
    path = Path(path)
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def _record(line: bytes, where: str) -> Mapping[str, Any]:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise DatasetError(f"{where}: not JSON ({error})") from error
    if not isinstance(record, dict):
        raise DatasetError(f"{where}: a query is a JSON object, this is {_kind(record)}")
    for field in ("id", "prompt"):
        if not isinstance(record.get(field), str) or not record[field]:
            raise DatasetError(
                f"{where}: {field!r} must be a string with something in it, "
                f"this is {_kind(record.get(field))}"
            )
    if not isinstance(record.get("task", ""), str):
        raise DatasetError(f"{where}: 'task' must be a string, this is {_kind(record['task'])}")
    for field, limit in (("scores", 1.0), ("cost_usd", 1e6)):
        _check_table(record.get(field), field, limit, where)
    if TOKENS in record:
        _check_table(record[TOKENS], TOKENS, 1e12, where)
    if record["scores"].keys() != record["cost_usd"].keys():
        odd = sorted(record["scores"].keys() ^ record["cost_usd"].keys())
        raise DatasetError(
            f"{where}: 'scores' and 'cost_usd' must name the same models; "
            f"only in one of them: {', '.join(odd)}"
        )
    return record


def _check_table(table: object, field: str, limit: float, where: str) -> None:
    if not isinstance(table, dict) or not table:
        raise DatasetError(
            f"{where}: {field!r} must be an object of model: number, this is {_kind(table)}"
        )
    for model, value in table.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DatasetError(f"{where}: {field}.{model} must be a number, is {_kind(value)}")
        if not 0 <= value <= limit:
            raise DatasetError(f"{where}: {field}.{model} is {value}, must be 0 to {limit:g}")


def _table(records: Sequence[Mapping[str, Any]], field: str, models: tuple[str, ...]) -> Floats:
    """float64[n, M]; a null or a missing model is NaN."""
    rows = [[record[field].get(model) for model in models] for record in records]
    return np.array(rows, dtype=np.float64)


def _kind(value: object) -> str:
    """What a JSON value is, in plain words."""
    if value is None:
        return "missing or null"
    names = {bool: "true or false", str: "a string", dict: "an object", list: "a list"}
    return names.get(type(value), "a number") + (" that is empty" if value in ("", {}, []) else "")
