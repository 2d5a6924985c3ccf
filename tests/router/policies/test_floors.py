"""Which floor a query has, and its name."""

from __future__ import annotations

import pytest

from router.policies.floors import Floor, Floors

FLOORS = Floors(0.8, {"shop": 0.65})


@pytest.mark.parametrize(
    ("tenant", "asked", "floor"),
    [
        (None, None, Floor(0.8)),
        ("bank", None, Floor(0.8)),
        ("shop", None, Floor(0.65, "shop")),
        ("shop", 0.9, Floor(0.9)),
        (None, 0.751, Floor(0.76)),
        (None, 0.29, Floor(0.29)),
        (None, 0.0, Floor(0.0)),
    ],
    ids=["usual", "stranger", "tenant", "own", "rounded up", "not rounded", "nothing"],
)
def test_the_nearest_word_counts(tenant: str | None, asked: float | None, floor: Floor) -> None:
    """The query's own, else its tenant's, else the usual one."""
    assert FLOORS.of(tenant, asked) == floor


@pytest.mark.parametrize("floor", [Floor(0.8), Floor(0.65, "a/b"), Floor(1.0)], ids=str)
def test_a_name_is_read_back(floor: Floor) -> None:
    """Whatever a tenant is called."""
    assert Floor.parse(floor.name) == floor


@pytest.mark.parametrize("name", ["", "much", "1.5", "nan", "-1/shop"])
def test_other_names_are_refused(name: str) -> None:
    """They are no number from 0 to 1."""
    with pytest.raises(ValueError, match=r"float|floor"):
        Floor.parse(name)
