"""Token pools: groups of servers of one model, each for prompts and answers up to a length.

A server that must hold a long context for each of its requests takes few at a time. Where most
requests are short, a pool of servers set up for these takes many more (token-budget routing, arXiv
2604.08075 and 2604.09613).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from router.arrays import Bools, Ints

NONE = -1
"""The pool of a request that no pool holds."""
SPILL_AT = 0.85
"""Load of a pool from which requests that a longer one holds go there."""
QUIET_BELOW = 0.7
"""Load below which a busy pool is busy no longer: between the two, it stays what it is."""


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool of a model's servers.

    Attributes:
        name: Unique in its model.
        context: Tokens of prompt and answer together.
        input_price: Nano-units per million prompt tokens.
        output_price: Nano-units per million output tokens.
        capacity: Requests that its servers take at a time; None where it never spills.
    """

    name: str
    context: int
    input_price: int
    output_price: int
    capacity: int | None = None


def served(model: str, pool: str | None = None) -> str:
    """Return the name under which a model, or a pool of it, has a topic and workers."""
    return model if pool is None else f"{model}.{pool}"


def shortest_pool(tokens: Ints, contexts: Sequence[int], busy: Bools | None = None) -> Ints:
    """Return the pool of each request: the shortest that holds it, unless that is busy.

    From a busy pool requests spill to the next longer one that is not; never to a shorter one, for
    that could not hold them. Where all that hold a request are busy it stays with the shortest.

    Args:
        tokens: int64[...], prompt and longest answer.
        contexts: Tokens that each of the P pools holds, rising.
        busy: bool[P], the pools that requests spill from (from `SPILL_AT` of their capacity); None
            for none.

    Returns:
        int64[...], NONE where no pool holds the request.

    Raises:
        ValueError: The contexts do not rise.
    """
    if any(shorter >= longer for shorter, longer in pairwise(contexts)):
        raise ValueError(f"pools are ordered by their contexts, each longer: {list(contexts)}")
    first = np.searchsorted(np.asarray(contexts), tokens).astype(np.int64)
    quiet = _next_quiet(np.zeros(len(contexts), np.bool_) if busy is None else busy)
    return quiet[first]


def _next_quiet(busy: Bools) -> Ints:
    """Return int64[P + 1]: by the shortest pool that holds a request, where it goes."""
    target = np.append(np.arange(len(busy)), NONE)
    longer = NONE
    for pool in range(len(busy) - 1, -1, -1):
        if not busy[pool]:
            longer = pool
        elif longer != NONE:
            target[pool] = longer
    return target
