"""Whether a model's server seems to be well."""

from __future__ import annotations

from streams.page.models import ModelWatch


def test_a_server_that_answers_is_up() -> None:
    """And idle before the first query."""
    watch = ModelWatch()
    assert watch.state(0)["backend"] == "idle"
    watch.sent(1)
    watch.answered(2, True, "")
    assert watch.state(3) | {"quality": None} == {
        "backend": "up", "why": "", "silent": None, "in_flight": 0, "answered": 1, "failed": 0,
        "quality": None,
    }  # fmt: skip


def test_a_server_that_fails() -> None:
    """Most answers of the last minute are errors; the last one says why."""
    watch = ModelWatch()
    for moment in (1, 2):
        watch.sent(moment)
        watch.answered(moment, False, "no such key")
    state = watch.state(3)
    assert (state["backend"], state["why"], state["failed"]) == ("failing", "no such key", 2)
    assert watch.state(100)["backend"] == "idle"


def test_a_server_that_is_away() -> None:
    """Something is awaited, and nothing comes."""
    watch = ModelWatch()
    watch.sent(1)
    assert watch.state(20)["backend"] == "idle"
    assert watch.state(40)["backend"] == "silent"
    watch.forgotten()
    assert watch.state(40)["in_flight"] == 0


def test_what_money_buys_at_random() -> None:
    """Mean quality for mean cost."""
    watch = ModelWatch()
    assert watch.quality_for(10) == 0
    watch.estimated(0.2, 10)
    watch.estimated(0.6, 30)
    assert watch.quality_for(40) == 0.8
