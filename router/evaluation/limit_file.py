"""Limits from a TOML file, for `sluice evaluate --limits`.

    [limits.total]
    amount = 2.50                  # dollars for all arrivals
    [limits.large]
    amount = 1.00
    models = ["gpt-*", "claude-3"] # names or patterns; default: all models
    [limits.calls]
    amount = 500
    unit = "requests"
    window = "hour"                # minute, hour, day or month (of 30 days); default: none

It reads the same tables as the configuration. Recorded outcomes have no times: where a limit has a
window, `--hours` says how long all arrivals take, evenly. They have no tenants, so these are
refused. The unit "tokens" needs
outcomes that tell the tokens of prompt and answer.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from router.arrays import Floats, Ints
from router.evaluation.problem import REQUESTS, TOKENS
from router.pricing.coverage import Coverage
from schemas.fields import NANO

UNITS = {"currency": 0, "tokens": TOKENS, "requests": REQUESTS}
FIELDS = frozenset({"amount", "unit", "models", "window"})
WINDOWS = {"none": 0.0, "minute": 1 / 60, "hour": 1.0, "day": 24.0, "month": 720.0}
"""Hours of each kind of window; 0 for one without end."""
MOST_WINDOWS = 400
"""Of one limit: the offline programs have a row for each."""


@dataclass(frozen=True, slots=True)
class FileLimit:
    """One limit of a file.

    Attributes:
        name: Of its table.
        amount: Nano-dollars, tokens or requests.
        unit: 0 for money, `TOKENS` or `REQUESTS`.
        models: Names or shell patterns.
        window: One of `WINDOWS`.
    """

    name: str
    amount: float
    unit: int
    models: tuple[str, ...]
    window: str = "none"


def read_limits(path: Path) -> list[FileLimit]:
    """Read a file of limits.

    Raises:
        ValueError: It is not such a file. The message says what is wrong, and where.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8-sig")).get("limits")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(tables, dict) or not tables:
        raise ValueError(f"{path}: it needs a table [limits.NAME] for each limit")
    return [_limit(name, table, f"{path}: limits.{name}") for name, table in tables.items()]


def limits_over(
    limits: Sequence[FileLimit], models: Sequence[str], multiple: float
) -> tuple[Coverage, Ints]:
    """Return the limits over some models, and their amounts times a multiple, int64[R].

    Raises:
        ValueError: A limit covers none of the models.
    """
    rows = [[any(name == one or fnmatchcase(name, one) for one in limit.models) for name in models]
            for limit in limits]  # fmt: skip
    table = np.array(rows, dtype=np.bool_)
    if idle := [limit.name for limit, row in zip(limits, table, strict=True) if not row.any()]:
        raise ValueError(f"the limit {idle[0]!r} covers no model; there are: {', '.join(models)}")
    coverage = Coverage(
        tuple(limit.name for limit in limits), np.array([limit.unit for limit in limits]), table
    )
    return coverage, np.floor([limit.amount * multiple for limit in limits]).astype(np.int64)


def window_lengths(limits: Sequence[FileLimit], arrivals: int, hours: float) -> Floats | None:
    """Return float64[R], the arrivals in each limit's window, inf for none; None where none has.

    Args:
        limits: The limits.
        arrivals: In all.
        hours: How long they take, evenly; 0 where nobody said.

    Raises:
        ValueError: A limit has windows, and how long arrivals take is not known, or there would
            be too many of them.
    """
    lengths = np.full(len(limits), np.inf)
    for place, limit in enumerate(limits):
        if length := WINDOWS[limit.window]:
            if not hours > 0:
                raise ValueError(
                    f"the limit {limit.name!r} has a window, and recorded outcomes have no times: "
                    "--hours says how long all queries take"
                )
            if hours > MOST_WINDOWS * length:
                raise ValueError(
                    f"the limit {limit.name!r} has {hours / length:.0f} windows in {hours:g} "
                    f"hours; at most {MOST_WINDOWS} are evaluated"
                )
            lengths[place] = arrivals * length / hours
    return lengths if np.isfinite(lengths).any() else None


def _limit(name: str, table: object, where: str) -> FileLimit:
    if not isinstance(table, Mapping):
        raise ValueError(f"{where} must be a table")
    if odd := sorted(set(table) - FIELDS):
        raise ValueError(
            f"{where}.{odd[0]}: recorded outcomes have no tenants; "
            "a limit here has amount, unit, window and models"
        )
    unit, amount = table.get("unit", "currency"), _amount(table.get("amount"), where)
    if not isinstance(unit, str) or unit not in UNITS:
        raise ValueError(f"{where}.unit is {unit!r}; here it is one of: {', '.join(UNITS)}")
    models = table.get("models", ["*"])
    if not isinstance(models, list) or not all(isinstance(one, str) for one in models):
        raise ValueError(f"{where}.models must be a list of names")
    window = table.get("window", "none")
    if not isinstance(window, str) or window not in WINDOWS:
        raise ValueError(f"{where}.window is {window!r}; it is one of: {', '.join(WINDOWS)}")
    scale = NANO if unit == "currency" else 1
    return FileLimit(name, amount * scale, UNITS[unit], (*models,), window)


def _amount(value: Any, where: str) -> float:
    try:
        amount = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{where}.amount must be a number, is {value!r}") from None
    if not 0 <= amount < 1e9:
        raise ValueError(f"{where}.amount is {value!r}, must be 0 or more")
    return amount
