"""Floors of arrivals, and what receipts tell of what gave way."""

from __future__ import annotations

import numpy as np
import orjson

from router.estimation.embedders.given import GivenEmbedder
from router.policies.base import NONE, Decisions
from router.policies.floors import Floor, Floors
from streams.routing.arrivals import parse
from streams.routing.floors import floors_of, on_receipts
from tests.support.recorded import FLEET, record


def test_floors_of_queries() -> None:
    """Its own before its tenant's; of none where the policy keeps none."""
    asked: list[dict[str, object]] = [{}, {"tenant": "shop"}, {"tenant": "shop", "floor": 0.9}]
    records = [
        record(i, orjson.dumps({"id": f"q{i}", "prompt": "x", "embedding": [1.0, 0.0], **fields}))
        for i, fields in enumerate(asked)
    ]
    arrivals = parse(records, FLEET, GivenEmbedder(2))
    floors = Floors(0.5, {"shop": 0.7})
    assert floors_of(arrivals, floors) == [Floor(0.5), Floor(0.7, "shop"), Floor(0.9)]
    assert floors_of(arrivals, None) is None


def test_what_gave_way_is_told() -> None:
    """A worse model than the preferred one: the floor; none: the query; a better one: nothing."""
    decisions = Decisions(
        model=np.array([1, 0, 1, NONE]),
        reason=["best", "next_best", "next_best", "no_budget"],
        propensity=np.ones(4),
        preferred=np.array([1, 1, 0, 1]),
    )
    quality = np.array([[0.2, 0.8]] * 4)
    told = on_receipts([Floor(0.7)] * 4, decisions, quality)
    assert [fields["gave_way"] for fields in told] == [None, "floor", None, "query"]
    assert {fields["floor"] for fields in told} == {0.7}
    assert on_receipts(None, decisions, quality) == [{}] * 4
