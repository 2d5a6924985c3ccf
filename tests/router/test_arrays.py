"""Even samples of rows."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from router.arrays import even_rows


@given(st.integers(0, 500), st.integers(0, 500))
def test_rows_are_distinct_rising_and_reach_both_ends(count: int, most: int) -> None:
    """As many as asked for, or all; the gaps differ by one row at the most."""
    rows = even_rows(count, most).tolist()
    assert len(rows) == min(count, most)
    assert rows == sorted(set(rows))
    if len(rows) > 1:
        assert (rows[0], rows[-1]) == (0, count - 1)
        gaps = [after - before for before, after in pairwise(rows)]
        assert max(gaps) - min(gaps) <= 1
