"""What answers tell: games, for policies that rate models alone, and tokens of long prompts."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from router.budget.charges import MAX_CHARGE
from router.estimation.scorer import QueryScorer
from router.models.catalog import Model, ModelCatalog
from schemas import Receipt, Result
from schemas.content import Content
from schemas.result import TOO_LONG, Failure, Usage, read_result
from schemas.share import ImageUse, Outcome, TokenUse
from streams.config.settings import load
from streams.routing.build import build
from streams.routing.constraints import CHAT_TEMPLATE
from streams.routing.feedback import (
    LONG,
    Feedback,
    game_of,
    image_use,
    long_prompt,
    outcome_of,
    token_use,
)
from streams.routing.settlement import Settler
from streams.state.rows import row_key
from tests.support.desk import Desk, result
from tests.support.recorded import CORE, FLEET, TOPICS, receipt


@pytest.fixture
def rated(config_file: Path) -> QueryScorer:
    return build(load(config_file, {"SLUICE_POLICY_NAME": "eagle"})).scorer


@pytest.fixture
def answered(rated: QueryScorer) -> Receipt:
    """A decision that names two queries of the history."""
    model = rated.known.names[0]
    return structs.replace(receipt(0, model), neighbours=list(rated.estimator.history.ids[:2]))


def listen(desk: Desk, scorer: QueryScorer, outcomes: bool = False) -> None:
    """Have the desk's settler gather what answers tell."""
    feedback = Feedback(lambda: scorer, outcomes)
    desk.settler = Settler(lambda: FLEET, desk.outbox, TOPICS, desk.metrics, 0, feedback)


def answer(to: Receipt, **fields: object) -> Result:
    return structs.replace(read_result(result(0, to.model or "")), **fields)


def test_a_score_and_a_preference_are_games(rated: QueryScorer, answered: Receipt) -> None:
    """A preference counts before what the score suggests; the model itself does not play."""
    own, other = rated.known.names[:2]
    scored = game_of(answered, answer(answered, score=1.0), rated)
    assert scored is not None
    assert scored.model == own
    assert scored.results.keys() == {other}
    assert scored.results[other] >= 0.5
    mixed = answer(answered, score=1.0, preferences={other: 0.0, own: 1.0})
    preferred = game_of(answered, mixed, rated)
    assert preferred is not None
    assert preferred.results == {other: 0.0}


def test_what_tells_nothing_is_no_game(rated: QueryScorer, answered: Receipt) -> None:
    """A failure, an answer that nobody has judged, and any answer under another policy."""
    assert game_of(answered, answer(answered), rated) is None
    assert game_of(answered, answer(answered, score=0.0, status_code=500), rated) is None
    assert game_of(answered, answer(answered, score=1.0), CORE) is None


async def test_games_of_settled_answers_are_reported_once(desk: Desk, rated: QueryScorer) -> None:
    """Only what ends a reservation counts: an answer that comes twice plays once."""
    own, other = rated.known.names[:2]
    listen(desk, rated)
    judged = result(0, preferences={own: 1.0, other: 0.5})
    await desk.settle(judged, judged, result(1))
    (game,) = desk.partition.games.take()
    assert game.model == "small"
    assert game.results == {
        name: s for name, s in {own: 1.0, other: 0.5}.items() if name != "small"
    }
    assert desk.partition.games.take() == []


USED = Usage(prompt_tokens=500, completion_tokens=5)
LARGE = Model("small", 1, 1, context=1_200)


def told(tokens: int) -> TokenUse:
    return TokenUse(model="small", text="prose", size=2_000, tokens=tokens)


@pytest.mark.parametrize(
    ("size", "fields", "use"),
    [
        (2_000, {"usage": USED}, told(500)),
        (2_000, {"usage": None}, None),
        (2_000, {"usage": USED, "status_code": 500}, None),
        (0, {"usage": USED}, None),
        (2_000, {"usage": Usage(prompt_tokens=2_001, completion_tokens=5)}, None),
        (2_000, {"status_code": 400, "error": Failure(code=TOO_LONG, message="")}, told(1_101)),
        (2_000, {"status_code": 400, "error": Failure(code="INVALID", message="")}, None),
    ],
    ids=["used", "no usage", "failed", "short", "absurd", "too long", "refused"],
)
def test_usage_of_long_prompts_is_told(
    size: int, fields: dict[str, object], use: TokenUse | None
) -> None:
    """And what was refused as too long for the context, less the answer; nothing unbelievable."""
    to = structs.replace(
        receipt(0, "small"), prompt_bytes=size, text="prose" if size else None, max_tokens=100
    )
    assert token_use(to, answer(to, **fields), LARGE) == use


SEEING = QueryScorer(
    CORE.embedder,
    CORE.estimator,
    ModelCatalog([Model("small", 1, 1, image_tokens=100), Model("large", 1, 1)]),
)


@pytest.mark.parametrize(
    ("tokens", "fields", "each"),
    [
        (800 + CHAT_TEMPLATE + 200, {}, None),
        (800 + CHAT_TEMPLATE + 201, {}, (800 + CHAT_TEMPLATE + 201 - 100 + 1) // 2),
        (40_100, {}, 20_000),
        (40_100, {"status_code": 500}, None),
        (40_100, {"estimated": True}, None),
        (10**9, {}, None),
    ],
    ids=["reserved", "one more", "many", "failed", "estimated", "absurd"],
)
def test_images_that_took_more_than_was_reserved_are_told(
    tokens: int, fields: dict[str, object], each: int | None
) -> None:
    """Less the fewest tokens that the text beside them can have: what they take is no less."""
    to = structs.replace(receipt(0, "small"), prompt_bytes=800, images=2)
    used = Usage(prompt_tokens=tokens, completion_tokens=5)
    found = image_use(to, answer(to, usage=used, **fields), SEEING, 0)
    told = None if each is None else ImageUse(model="small", declared=100, tokens=each)
    assert found == told
    plain = structs.replace(to, images=0)
    assert image_use(plain, answer(plain, usage=used), SEEING, 0) is None


def test_receipts_tell_of_long_prompts_of_text() -> None:
    """Short ones are mostly the chat template, and what an image takes is not in its bytes."""
    long = Content(LONG, 300, kind="code")
    assert long_prompt(long) == {"prompt_bytes": LONG, "text": "code"}
    assert long_prompt(long._replace(size=LONG - 1)) == {}
    assert long_prompt(long._replace(images=2)) == {"prompt_bytes": LONG, "images": 2}
    assert long_prompt(long._replace(images=1, audio=1)) == {}
    assert long_prompt(None) == {}


async def test_usage_of_settled_answers_is_reported_once(desk: Desk) -> None:
    """As games are."""
    listen(desk, CORE)
    key = row_key("queries", 0)
    row = desk.partition.row(key)
    assert row is not None
    long = structs.replace(row.receipt, prompt_bytes=2_000, text="prose")
    await desk.partition.commit({key: structs.replace(row, receipt=long)})
    used = result(0, usage={"prompt_tokens": 500, "completion_tokens": 1})
    await desk.settle(used, used)
    assert desk.partition.token_uses.take() == [told(500)]
    assert desk.partition.token_uses.take() == []
    assert desk.partition.image_uses.take() == []


async def test_what_images_of_settled_answers_took_is_reported_once(desk: Desk) -> None:
    """As games are."""
    listen(desk, SEEING)
    key = row_key("queries", 0)
    row = desk.partition.row(key)
    assert row is not None
    shown = structs.replace(row.receipt, prompt_bytes=0, images=1)
    await desk.partition.commit({key: structs.replace(row, receipt=shown)})
    used = result(0, usage={"prompt_tokens": 5_000, "completion_tokens": 1})
    await desk.settle(used, used)
    (use,) = desk.partition.image_uses.take()
    assert use.tokens == 5_000
    assert desk.partition.image_uses.take() == []


def test_a_judged_answer_is_told_beside_its_estimates() -> None:
    """Where its receipt has them by the index in use, and its cost is known."""
    to = structs.replace(
        receipt(0, "small"), quality={"small": 0.75}, cost={"small": 20}, index=CORE.index
    )
    judged = answer(to, score=0.25, cost=50)
    assert outcome_of(to, judged, CORE) == Outcome(model="small", score=-0.5, cost=2.5)
    for nothing in (
        structs.replace(judged, score=None),
        structs.replace(judged, estimated=True),
        structs.replace(judged, model="other"),
        structs.replace(judged, cost=MAX_CHARGE + 1),  # is refused
    ):
        assert outcome_of(to, nothing, CORE) is None
    assert outcome_of(structs.replace(to, index="another"), judged, CORE) is None


async def test_outcomes_are_gathered_where_the_policy_asks_for_them(desk: Desk) -> None:
    """Once for each answer that ends a reservation."""
    desk_row = desk.partition.row(row_key("queries", 0))
    assert desk_row is not None
    told = structs.replace(
        desk_row.receipt, quality={"small": 0.5}, cost={"small": 4}, index=CORE.index
    )
    await desk.partition.commit({row_key("queries", 0): structs.replace(desk_row, receipt=told)})
    listen(desk, CORE, outcomes=True)
    judged = result(0, score=1.0, cost=2)
    await desk.settle(judged, judged)
    assert desk.partition.outcomes.take() == [Outcome(model="small", score=0.5, cost=0.5)]
