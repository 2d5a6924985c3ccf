"""Pickles laid out as pandas writes a DataFrame, without pandas.

Stand-ins carry pandas' names while the pickle is written; the layout was compared with files of
pandas 2.2 and 3.1 (protocols 2, 4 and 5).
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np


class _Call:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


def table(columns: Mapping[str, Sequence[Any]], protocol: int = 4) -> bytes:
    """A DataFrame of these columns: one block for all floats, one for all others."""
    modules: dict[str, ModuleType] = {}

    def named(module: str, name: str) -> Any:
        made = type(name, (), {"__module__": module})
        parts = module.split(".")
        for end in range(1, len(parts) + 1):  # pickle imports the packages above it, too
            modules.setdefault(".".join(parts[:end]), ModuleType(".".join(parts[:end])))
        setattr(modules[module], name, made)
        return made

    frame = named("pandas.core.frame", "DataFrame")
    manager = named("pandas.core.internals.managers", "BlockManager")
    block = named("pandas._libs.internals", "_unpickle_block")
    index = named("pandas.core.indexes.base", "Index")
    new_index = named("pandas.core.indexes.base", "_new_Index")
    range_index = named("pandas.core.indexes.range", "RangeIndex")

    names = list(columns)
    floats = [i for i, name in enumerate(names) if isinstance(columns[name][0], float)]
    others = [i for i in range(len(names)) if i not in floats]
    blocks = []
    for places, kind in ((floats, np.float64), (others, object)):
        # pandas keeps a block's columns side by side in memory, which shows as Fortran order.
        values = np.array([columns[names[i]] for i in places], dtype=kind).T.copy().T
        blocks.append(_Call(block, values, np.array(places), 2))
    axes = [
        _Call(new_index, index, {"data": np.array(names, dtype=object), "name": None}),
        _Call(new_index, range_index, {"name": None, "start": 0, "stop": 9, "step": 1}),
    ]
    made = frame()
    made.__dict__.update(
        {"_mgr": _Call(manager, tuple(blocks), axes), "_typ": "dataframe", "attrs": {}}
    )
    with mock.patch.dict(sys.modules, modules):
        return pickle.dumps(made, protocol=protocol)
