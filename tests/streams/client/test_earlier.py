"""Answers of an interrupted run."""

from __future__ import annotations

from schemas import Result
from streams.client.answers import Answer
from streams.client.earlier import MARGIN, Earlier
from streams.client.errors import ModelFailed


def test_answers_are_kept_and_failures_are_not() -> None:
    """A query that has failed is asked again; an answer is given once."""
    earlier = Earlier("run/", 1000.0)
    settings = earlier.settings()
    assert settings["since"] == 1000.0 - MARGIN
    assert settings["kept"](b"run/a")
    assert not settings["kept"](b"other/a")
    result = Result(id="run/a", decision_id="d", model="small", status_code=200)
    answer = Answer("run/a", "small", "d", 5, None, result)
    settings["keep"]("run/a", ModelFailed("run/a", "INFERENCE_ERROR", "away", 503))
    assert earlier.pop("run/a") is None
    settings["keep"]("run/a", answer)
    assert earlier.pop("run/a") is answer
    assert earlier.pop("run/a") is None
