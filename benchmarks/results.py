"""The figures of a benchmark as JSON, for `benchmarks.compare`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import orjson

from benchmarks.machine import machine

Figures = Mapping[str, float]
"""By name; "PLACE, what" where a figure is measured at several places."""


def write(path: Path | None, benchmark: str, figures: Figures) -> None:
    """Write a benchmark's figures; nothing where there is no path."""
    if path is not None:
        told = {"benchmark": benchmark, "machine": machine(), "figures": dict(figures)}
        path.write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))


def read(path: Path) -> dict[str, float]:
    """Read the figures that `write` wrote."""
    figures: dict[str, float] = orjson.loads(path.read_bytes())["figures"]
    return figures
