"""Random numbers that belong to a query: the same id and seed always draw the same."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from router.arrays import Floats


def uniform(ids: Sequence[str], seed: int, purpose: str = "") -> Floats:
    """Draw one number for each id.

    Draws for different purposes or seeds are independent. Nothing is shared between queries, so a
    draw depends neither on which others came before nor on how arrivals were cut into batches.

    Args:
        ids: n query ids.
        seed: Of the run.
        purpose: Separates draws for the same ids.

    Returns:
        float64[n] in [0, 1).
    """
    key = blake2b(f"{seed}/{purpose}".encode(), digest_size=32).digest()
    digests = b"".join(blake2b(name.encode(), digest_size=8, key=key).digest() for name in ids)
    whole = np.frombuffer(digests, dtype=">u8") >> np.uint64(11)
    return whole.astype(np.float64) * 2.0**-53
