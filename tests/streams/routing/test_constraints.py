"""What queries hold decides where they may go and what is reserved for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from router.budget.ledger import Ledger
from router.budget.limits import LimitSet
from router.estimation.observed import Observed
from router.estimation.scorer import QueryScorer
from router.models.catalog import Model, ModelCatalog
from router.models.pools import NONE, Pool
from router.policies.primal_dual import PrimalDual
from schemas import Query
from schemas.price import ImageTokens
from schemas.wire import decode
from streams.routing.arrivals import parse
from streams.routing.constraints import CHAT_TEMPLATE, constraints
from streams.routing.decide import DecisionContext, decide, estimate
from streams.routing.decider import Decider
from streams.state.rows import Row
from streams.state.store import MemoryStore
from tests.support.recorded import CORE, RecordedOutbox, open_partition, record

MODELS = ModelCatalog(
    [
        Model("small", 1_000_000, 2_000_000, allow_fields=frozenset({"service_tier"})),
        Model("large", 3_000_000, 4_000_000, image_tokens=1000, audio_tokens=500),
    ]
)
SCORER = QueryScorer(CORE.embedder, CORE.estimator, MODELS)
TEXT = {"type": "text", "text": "What is this?"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "UklGR", "format": "wav"}}


def decided(value: dict[str, Any], scorer: QueryScorer = SCORER) -> Row:
    """The decision on one query, with money for all."""
    data = orjson.dumps({"id": "a", "embedding": [1.0, 0.0], **value})
    arrivals = parse([record(0, data)], MODELS, SCORER.embedder)
    ledger = Ledger(MODELS.names, np.array([10**12, 10**12]))
    partition = open_partition(RecordedOutbox(), MemoryStore(), ledger=ledger)
    policy = PrimalDual(MODELS)
    limits = LimitSet.per_model(MODELS.names)
    decider = Decider(scorer, policy, limits, np.ones(2, dtype=np.bool_))
    context = DecisionContext(decider, "queries", 1000.0, 10)
    return decide(estimate(scorer, arrivals), context, partition)[0]


def chat(*parts: Any, **body: Any) -> dict[str, Any]:
    return {"payload": {"messages": [{"role": "user", "content": list(parts)}], **body}}


def test_images_and_audio_are_reserved_for() -> None:
    """So many tokens each, at models that take them; the receipt names those that do not."""
    plain = decided({**chat(TEXT, max_tokens=1), "allowed_models": ["large"]}).receipt
    seen = decided(chat(TEXT, IMAGE, IMAGE, SOUND, max_tokens=1)).receipt
    assert seen.model == "large"
    assert seen.reserved - plain.reserved >= 2500 * 3
    assert seen.excluded == {"small": "takes no images (image_tokens)"}
    assert plain.excluded == {}


def test_what_was_learned_of_images_is_reserved() -> None:
    """In place of `image_tokens`, for as long as these are what they were."""
    image = chat(TEXT, IMAGE, IMAGE, SOUND, max_tokens=1)
    before = decided(image).receipt
    learned = Observed({}, {"large": ImageTokens(declared=1000, tokens=8_000)})
    after = decided(image, SCORER.following({}, learned)).receipt
    assert after.reserved - before.reserved == 2 * 7_000 * 3
    other = Observed({}, {"large": ImageTokens(declared=999, tokens=8_000)})
    assert decided(image, SCORER.following({}, other)).receipt.reserved == before.reserved


def test_no_model_takes_images() -> None:
    """The refusal says which models and why."""
    row = decided({**chat(TEXT, IMAGE), "allowed_models": ["small"]})
    assert row.refusal is not None
    assert row.refusal.code == "no_model_allowed"
    assert "small takes no images" in row.refusal.reason


def test_fields_that_may_cost_more_go_where_they_are_allowed() -> None:
    """Elsewhere nothing is reserved for them."""
    receipt = decided(chat(TEXT, service_tier="priority")).receipt
    assert receipt.model == "small"
    assert receipt.excluded == {"large": "does not take service_tier (allow_fields)"}


def test_fields_that_nobody_allows_are_refused() -> None:
    """Before anything is reserved; the reason says how to allow them."""
    row = decided(chat(TEXT, best_of=3, service_tier="priority"))
    assert row.refusal is not None
    assert (row.refusal.code, row.refusal.field) == ("field_not_allowed", "payload.best_of")
    assert 'allow_fields = ["best_of", "service_tier"]' in row.refusal.reason


def test_fields_that_no_query_has_are_refused() -> None:
    """They would be dropped."""
    row = decided({"prompt": "hi", "temperature": 0})
    assert row.refusal is not None
    assert (row.refusal.code, row.refusal.field) == ("unknown_field", "temperature")


def test_choices_multiply_what_is_reserved() -> None:
    """Each answer may have all output tokens; the prompt is paid for once."""
    one, three = (
        decided({**chat(TEXT, max_tokens=100, n=n), "allowed_models": ["large"]}).receipt
        for n in (1, 3)
    )
    assert three.reserved - one.reserved == 200 * 4
    assert three.max_tokens == 100


def test_escapes_cost_nothing_and_prose_fits_by_its_tokens() -> None:
    """The reservation counts bytes of text; whether it fits a context goes by likely tokens."""
    text = "The cat sat on the mat. " * 6000  # 144,000 bytes, 42,000 tokens
    receipt = decided({"prompt": text, "max_tokens": 1, "allowed_models": ["small"]}).receipt
    assert receipt.decision == "routed"
    assert receipt.reserved == len(text) + CHAT_TEMPLATE + 2
    row = decided({"prompt": text * 4, "max_tokens": 1})
    assert row.refusal is not None
    assert row.refusal.code == "context_too_long"


def test_what_was_learned_makes_a_prompt_fit() -> None:
    """Signs count a token each until usage says otherwise, for this model and kind of text."""
    prompt = "|---|\n" * 22_000  # 132,000 bytes, 33,000 tokens
    asked = {"prompt": prompt, "max_tokens": 1}
    assert decided(asked).refusal is not None
    learned = SCORER.following({}, Observed({"large\tsigns": 3.9}))
    receipt = decided(asked, learned).receipt
    assert (receipt.model, receipt.text) == ("large", "signs")
    assert receipt.prompt_bytes == len(prompt)
    assert receipt.reserved == 3 * (len(prompt) + CHAT_TEMPLATE) + 4
    longer = decided({**asked, "prompt": prompt * 5}, learned)
    assert longer.refusal is not None


def test_what_a_pool_has_refused_goes_to_a_longer_one() -> None:
    """Whatever its estimate; what the longest has refused does not fit the model."""
    pools = (Pool("short", 1_000, 1, 1), Pool("long", 5_000, 1, 1))
    models = ModelCatalog([Model("small", 1, 1, context=5_000, pools=pools), Model("large", 1, 1)])
    scorer = QueryScorer(CORE.embedder, CORE.estimator, models)
    query = decode(Query, orjson.dumps({"id": "a", "prompt": "hi", "max_tokens": 10}))
    for tried, pool, fits in (
        ((), 0, True),
        (("small.short",), 1, True),
        (("small.short", "small.long"), NONE, False),
    ):
        asked = constraints(scorer, [query], [query.content()], [tried])
        prepared = scorer.batch(CORE.estimator.usual(1), asked)
        assert (prepared.pools[0, 0], prepared.fits[0, 0]) == (pool, fits)
        assert prepared.fits[0, 1]
