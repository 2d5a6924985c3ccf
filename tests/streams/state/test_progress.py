"""What must hold of progress: a state record gives back what it was made of."""

from __future__ import annotations

import orjson

from router.budget.ledger import Account
from schemas.wire import encode
from streams.state.progress import Progress
from streams.state.rows import Position, State


def test_a_state_comes_back_as_it_was() -> None:
    """All counts, and what a commit adds to them."""
    state = State(
        queries=Position(7, 5),
        deferred=Position(3, 2),
        retried={"queries": 4, "deferred": 1},
        settled=9,
        arrivals=8,
        sequence=6,
        granted=2,
        control=11,
        recent=12,
        accounts={"small": Account(10, 1, 2)},
        removed=["q1"],
        unpublished_expirations=["q2"],
    )
    progress = Progress.of(state)
    assert progress.to_state(state.accounts, 12, ["q1"]) == state


def test_retried_offsets_never_fall_back() -> None:
    """And begin before the first offset."""
    progress = Progress.of(State())
    assert progress.retried == {"queries": -1, "deferred": -1}
    progress.advance_retried({"queries": 4})
    progress.advance_retried({"queries": 2, "deferred": 0})
    assert progress.retried == {"queries": 4, "deferred": 0}


def test_a_state_is_written_under_the_names_that_it_always_had() -> None:
    """Or a router of another version could not read it."""
    state = State(retried={"queries": 4}, unpublished_expirations=["q2"])
    written = orjson.loads(encode(state))
    assert written.keys() == {"queries", "deferred", "readmitted", "untold"}
    assert (written["readmitted"], written["untold"]) == ({"queries": 4}, ["q2"])
