"""Reads a pickled pandas table without running anything that the pickle names.

A pickle is a program for a small stack machine; the danger is that `pickle.load` calls whatever
it names. Here the machine is played by hand: a call becomes a `Node` that says what would have been
called with what, and only shapes that pandas writes for a plain table are then understood. So
neither pandas nor pickle is needed, and nothing from the file is ever imported or called.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.evaluation.datasets import DatasetError

Column = NDArray[Any]
"""One column of a table: numbers, or objects that are strings, numbers or None."""

PUSHED = frozenset(
    (
        *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINBYTES", "SHORT_BINBYTES"),
        *("BINBYTES8", "BYTEARRAY8", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    )
)
"""Operations that put their own argument on the stack."""
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
IDLE = frozenset(("PROTO", "FRAME", "READONLY_BUFFER"))
PLAIN = frozenset(("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "b1"))
"""Types of numbers that a column may have."""
NAMED = frozenset(
    (
        "pandas.core.frame.DataFrame",
        "pandas.DataFrame",
        "pandas.core.internals.managers.BlockManager",
        "pandas._libs.internals._unpickle_block",
        "pandas._libs.arrays.__pyx_unpickle_NDArrayBacked",
        "pandas.core.arrays.string_.StringArray",
        "pandas.arrays.StringArray",
        "pandas.core.arrays.string_.StringDtype",
        "pandas.StringDtype",
        "pandas.core.indexes.base._new_Index",
        "pandas.core.indexes.base.Index",
        "pandas.Index",
        "pandas.core.indexes.range.RangeIndex",
        "pandas.RangeIndex",
        "pandas.core.indexes.numeric.Int64Index",
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray._reconstruct",
        "numpy.core.numeric._frombuffer",
        "numpy._core.numeric._frombuffer",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "numpy.ndarray",
        "numpy.dtype",
        "builtins.slice",
        "__builtin__.slice",
        "_codecs.encode",
    )
)
"""Everything that the pickle of a plain table names."""


@dataclass(slots=True, eq=False)
class Node:
    """What the pickle would have called: `name` with `arguments`, then given `state`.

    A name that has not been called has no arguments.
    """

    name: str
    arguments: tuple[Any, ...] | None = None
    state: Any = None

    @property
    def last(self) -> str:
        """The name without its modules."""
        return self.name.rpartition(".")[2]


def read_table(data: bytes, where: str = "pickle") -> dict[str, Column]:
    """The columns of a pickled DataFrame, by name.

    Understands what pandas 1.3 to 3 write for columns of numbers, strings and objects (not
    Arrow-backed strings, dates or categories). `where` opens the messages. Raises DatasetError for
    anything else, and for any name that a table has no need of.
    """
    try:
        root = _play(data)
        return _frame(root)
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}") from error
    except (
        ValueError,
        IndexError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise DatasetError(
            f"{where}: not the pickle of a plain pandas table ({type(error).__name__}: {error}); "
            "save it as parquet instead"
        ) from error


def _play(data: bytes) -> Any:
    """The object that the pickle describes, with Nodes in place of calls."""
    stack: list[Any] = []
    outer: list[list[Any]] = []
    memo: dict[int, Any] = {}
    argument: Any
    for operation, argument, position in pickletools.genops(io.BytesIO(data)):
        name = operation.name
        if name in PUSHED:
            stack.append(argument)
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name == "MARK":
            outer.append(stack)
            stack = []
        elif name in ("TUPLE", "APPENDS", "SETITEMS"):
            items, stack = stack, outer.pop()
            _collect(name, items, stack)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            parts = argument.split(" ") if name == "GLOBAL" else [stack.pop(), stack.pop()][::-1]
            stack.append(Node(_allowed(".".join(parts))))
        elif name == "STOP":
            return stack.pop()
        elif not _build(name, stack) and name not in IDLE:
            raise DatasetError(f"operation {name} at byte {position} has no place in a table")
    raise DatasetError("ends before it is complete")


def _collect(name: str, items: list[Any], stack: list[Any]) -> None:
    """Carry out an operation on all items above the last mark."""
    if name == "TUPLE":
        stack.append(tuple(items))
    elif name == "APPENDS":
        stack[-1].extend(items)
    else:
        stack[-1].update(zip(items[::2], items[1::2], strict=True))


def _build(name: str, stack: list[Any]) -> bool:
    """Carry out an operation on the top of the stack; False for a name that is not one of them."""
    if name == "EMPTY_LIST":
        stack.append([])
    elif name == "EMPTY_DICT":
        stack.append({})
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        count = int(name[-1])
        stack[-count:] = [tuple(stack[-count:])]
    elif name == "APPEND":
        item = stack.pop()
        stack[-1].append(item)
    elif name == "SETITEM":
        value, key = stack.pop(), stack.pop()
        stack[-1][key] = value
    elif name in ("REDUCE", "NEWOBJ"):
        arguments, called = stack.pop(), stack.pop()
        stack.append(Node(called.name, tuple(arguments)))
    elif name == "BUILD":
        state = stack.pop()
        stack[-1].state = state
    else:
        return False
    return True


def _allowed(name: str) -> str:
    if name not in NAMED:
        raise DatasetError(
            f"names {name}, which a table has no need of; it was not run, and the file is refused"
        )
    return name


def _called(node: Node) -> tuple[Any, ...]:
    """What the node was called with."""
    if node.arguments is None:
        raise ValueError(f"{node.name} is named, not called")
    return node.arguments


def _frame(root: Any) -> dict[str, Column]:
    if not isinstance(root, Node) or root.last != "DataFrame":
        raise DatasetError("holds no DataFrame")
    blocks, axes = _called(root.state["_mgr"])
    names = _array(_called(axes[0])[1]["data"]).tolist()
    columns: dict[str, Column] = {}
    for block in blocks:
        values, places, _ = _called(block)
        for place, column in zip(_places(places), np.atleast_2d(_array(values)), strict=True):
            columns[str(names[place])] = column
    lengths = {len(column) for column in columns.values()}
    if len(columns) != len(names) or len(lengths) > 1:
        raise DatasetError("its columns do not fit its names")
    return {str(name): columns[str(name)] for name in names}


def _places(node: Node) -> Iterable[int]:
    """The column numbers of a block: a slice, or an array of numbers."""
    if node.last == "slice":
        return range(*_called(node))
    return [int(place) for place in _array(node)]


def _array(node: Node) -> Column:
    """The array that a Node stands for."""
    if node.last == "__pyx_unpickle_NDArrayBacked":  # strings: (dtype, array, …)
        inner = next(part for part in node.state if _is_array(part))
        return _array(inner)
    if node.last == "_frombuffer":
        data, dtype, shape, order = _called(node)
        return _numbers(data, dtype, shape, order)
    _, shape, dtype, by_column, data = node.state
    if isinstance(data, list):
        values: Column = np.empty(len(data), dtype=object)
        for i, value in enumerate(data):
            values[i] = _plain(value)
        return values.reshape(shape)  # numpy lists objects row by row, whatever their order
    return _numbers(data, dtype, shape, "F" if by_column else "C")


def _is_array(part: Any) -> bool:
    return isinstance(part, Node) and part.last in ("_reconstruct", "_frombuffer")


def _numbers(data: Any, dtype: Node, shape: tuple[int, ...], order: str) -> Column:
    if isinstance(data, Node):  # protocol 2 writes bytes as text in latin-1
        assert data.arguments is not None
        data = data.arguments[0].encode("latin-1")
    return np.frombuffer(data, dtype=_dtype(dtype)).reshape(
        shape, order="F" if order == "F" else "C"
    )


def _dtype(node: Node) -> np.dtype[Any]:
    kind = _called(node)[0]
    if kind not in PLAIN:
        raise DatasetError(f"has a column of type {kind!r}; only numbers and text are understood")
    found: np.dtype[Any] = np.dtype(("" if node.state[1] == "|" else node.state[1]) + kind)
    return found


def _plain(value: Any) -> Any:
    """A cell: text, number, None, or a list of such; a numpy scalar becomes its number."""
    if isinstance(value, Node):
        if value.last != "scalar":
            raise DatasetError(f"has a cell of type {value.name}")
        dtype, data = _called(value)
        return _numbers(data, dtype, (1,), "C")[0].item()
    return value
