"""Experiments: policies on the same problem, and their references."""

from __future__ import annotations

import pytest

from router.evaluation.experiment import CONTROLS, REFERENCES, Setting, compare
from tests.support.outcomes import ground


def test_compare_puts_references_first_and_relates_to_them() -> None:
    """The linear program on estimates is 100 %, the one on the truth at least as much."""
    rows = [row for row, _, _ in compare(ground(), Setting(), CONTROLS)]
    assert [row.policy for row in rows] == [*REFERENCES, *CONTROLS]
    assert rows[0].relative == 100.0
    assert rows[1].performance == max(row.performance for row in rows)
    assert rows[0].setting.models == 3


def test_fewer_models_are_drawn_by_seed() -> None:
    """A ground with two of four models has their outcomes and no others."""
    whole = ground(models=4)
    part = whole.with_models(2, seed=5)
    assert len(part.history.models) == 2
    assert part is whole.with_models(2, seed=5)
    assert set(part.history.models) < set(whole.history.models)
    assert whole.with_models(0, seed=5) is whole
    with pytest.raises(ValueError, match="the data has 4"):
        whole.with_models(9, seed=5)
