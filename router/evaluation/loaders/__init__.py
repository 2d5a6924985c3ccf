"""Recorded outcomes in whatever layout they were published."""

from __future__ import annotations

from pathlib import Path

from router.evaluation.cache_folder import cache_folder
from router.evaluation.datasets import Dataset, DatasetError, read_jsonl
from router.evaluation.loaders import hub, parquet, pickles, wide

LARGEST_PICKLE = 2 * 2**30
"""Bytes; a larger pickle is refused, as it is read whole."""


def load(source: str) -> Dataset:
    """The dataset at a path, or of that name on the hub.

    JSON lines (plain or gzip) as `datasets.py` describes; RouterBench's pickle or parquet;
    SPROUT's parquet; a folder of the Open LLM Leaderboard v2's details. Raises DatasetError.
    """
    path = Path(source)
    if not path.exists() and hub.is_name(source):
        path = hub.fetch(source, cache_folder() / "datasets")
    if not path.exists():
        raise DatasetError(f"{source}: no such file, and no name on the hub (owner/dataset)")
    if path.is_dir():
        lines = sorted(path.glob("*.jsonl*"))
        return read_jsonl(lines[0]) if len(lines) == 1 else parquet.read(path)
    if path.suffix == ".parquet":
        return parquet.read(path)
    if path.suffix in (".pkl", ".pickle"):
        if path.stat().st_size > LARGEST_PICKLE:
            raise DatasetError(f"{path}: a pickle of more than {LARGEST_PICKLE} bytes")
        columns = pickles.read_table(path.read_bytes(), str(path))
        return wide.dataset({name: list(cells) for name, cells in columns.items()}, str(path))
    return read_jsonl(path)
