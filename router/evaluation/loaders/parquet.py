"""Parquet files and folders of them (needs pyarrow, extra `report`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from router.evaluation.datasets import Dataset, DatasetError
from router.evaluation.loaders import leaderboard, prices, sprout, wide


def read(path: Path) -> Dataset:
    """The dataset in a file, or in all files below a folder. The layout shows in the columns.

    Raises DatasetError.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DatasetError(
            f"{path}: parquet is read with pyarrow, which is not here ({error}): "
            "pip install 'sluice-llm[report]'"
        ) from error
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    if not files:
        raise DatasetError(f"{path}: no parquet file in it")
    rates = prices.beside(path)
    try:
        schema = pq.read_schema(files[0])
        if {"doc_id", "doc_hash", "arguments"} <= set(schema.names):
            parts = [_leaderboard_part(pq, path, file) for file in files]
            return leaderboard.dataset(parts, str(path), rates)
        structs = [
            field.name
            for field in schema
            if pa.types.is_struct(field.type)
            and {inner.name for inner in field.type} >= set(sprout.FIELDS)
        ]
        if structs:
            wanted = ["key", "dataset", "prompt"]
            names = [name for name in wanted if name in schema.names]
            table = _join(pa, [_flat(pq, file, names, structs) for file in files])
            fields = {
                model: {field: table[f"{model}.{field}"].to_pylist() for field in sprout.FIELDS}
                for model in structs
            }
            columns = {name: table[name].to_pylist() for name in names}
            return sprout.dataset(columns, fields, str(path), rates)
        names = [name for name in schema.names if not name.endswith("|model_response")]
        table = _join(pa, [pq.read_table(file, columns=names) for file in files])
        return wide.dataset({n: table[n].to_pylist() for n in names}, str(path), rates)
    except (pa.ArrowException, KeyError) as error:
        raise DatasetError(f"{path}: cannot be read as parquet ({error})") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error})") from error


def _leaderboard_part(pq: Any, root: Path, file: Path) -> tuple[str, str, dict[str, Any]]:
    names = set(pq.read_schema(file).names)
    columns = [name for name in leaderboard.COLUMNS if name in names]
    table = pq.read_table(file, columns=columns)
    below = file.relative_to(root) if root.is_dir() else Path(file.name)
    first = below.parts[0]
    model = leaderboard.model_name(first if len(below.parts) > 1 else Path(first).stem)
    task = Path(*below.parts[1:-1], below.stem).as_posix() if len(below.parts) > 1 else ""
    return model, task, {name: table[name].to_pylist() for name in columns}


def _flat(pq: Any, file: Path, names: Sequence[str], structs: Sequence[str]) -> Any:
    """A table with `model.field` columns in place of structs; answers' texts are not read."""
    inner = [f"{model}.{field}" for model in structs for field in sprout.FIELDS]
    return pq.ParquetFile(file).read(columns=[*names, *inner]).flatten()


def _join(pa: Any, tables: Sequence[Any]) -> Any:
    return pa.concat_tables(tables, promote_options="permissive")
