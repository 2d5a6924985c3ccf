"""Games of answers: of scores and preferences, and for policies that rate models alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from router.estimation.scorer import QueryScorer
from schemas import Receipt, Result
from schemas.result import read_result
from streams.config.settings import load
from streams.routing.build import build
from streams.routing.feedback import feedback_on, no_feedback
from streams.routing.settlement import Settler
from tests.support.desk import Desk, result
from tests.support.recorded import FLEET, TOPICS, receipt


@pytest.fixture
def rated(config_file: Path) -> QueryScorer:
    return build(load(config_file, {"SLUICE_POLICY_NAME": "eagle"})).scorer


@pytest.fixture
def answered(rated: QueryScorer) -> Receipt:
    """A decision that names two queries of the history."""
    model = rated.known.names[0]
    return structs.replace(receipt(0, model), neighbours=list(rated.estimator.history.ids[:2]))


def answer(to: Receipt, **fields: object) -> Result:
    return structs.replace(read_result(result(0, to.model or "")), **fields)


def test_a_score_and_a_preference_are_games(rated: QueryScorer, answered: Receipt) -> None:
    """A preference counts before what the score suggests; the model itself does not play."""
    game_of, own, other = feedback_on(lambda: rated), *rated.known.names[:2]
    scored = game_of(answered, answer(answered, score=1.0))
    assert scored is not None
    assert scored.model == own
    assert scored.results.keys() == {other}
    assert scored.results[other] >= 0.5
    preferred = game_of(answered, answer(answered, score=1.0, preferences={other: 0.0, own: 1.0}))
    assert preferred is not None
    assert preferred.results == {other: 0.0}


def test_what_tells_nothing_is_no_game(rated: QueryScorer, answered: Receipt) -> None:
    """A failure, an answer that nobody has judged, and any answer under another policy."""
    game_of = feedback_on(lambda: rated)
    assert game_of(answered, answer(answered)) is None
    assert game_of(answered, answer(answered, score=0.0, status_code=500)) is None
    unrated = feedback_on(rated.unrated)
    assert unrated(answered, answer(answered, score=1.0)) is None
    assert no_feedback(answered, answer(answered, score=1.0)) is None


async def test_games_of_settled_answers_are_reported_once(desk: Desk, rated: QueryScorer) -> None:
    """Only what ends a reservation counts: an answer that comes twice plays once."""
    own, other = rated.known.names[:2]
    feedback = feedback_on(lambda: rated)
    desk.settler = Settler(lambda: FLEET, desk.outbox, TOPICS, desk.metrics, 0, feedback)
    judged = result(0, preferences={own: 1.0, other: 0.5})
    await desk.settle(judged, judged, result(1))
    (game,) = desk.partition.games.take()
    assert game.model == "small"
    assert game.results == {
        name: s for name, s in {own: 1.0, other: 0.5}.items() if name != "small"
    }
    assert desk.partition.games.take() == []
