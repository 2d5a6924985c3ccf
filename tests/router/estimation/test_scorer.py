"""From texts to a batch that a policy can decide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from router.arrays import Floats, Vectors
from router.estimation.embedders.base import Embedder
from router.estimation.estimator import Estimates, Estimator
from router.estimation.history import History
from router.estimation.index.exact import ExactIndex
from router.estimation.observed import Observed
from router.estimation.scorer import UNSET, Mode, QueryConstraints, QueryScorer
from router.models.catalog import Model, ModelCatalog
from router.models.pools import NONE, Pool

FLEET = ModelCatalog(
    [
        Model("small", 1_000_000, 2_000_000, max_output_tokens=100, context=1000),
        Model("large", 10_000_000, 20_000_000, max_output_tokens=500, context=300),
    ]
)


class Letters(Embedder):
    """Embeds a text by whether it begins with an "a"."""

    name = "letters"
    dimension = 2

    def _embed(self, texts: list[str]) -> Vectors:
        return np.array([[t[0] == "a", t[0] != "a"] for t in texts], dtype=np.float32)


def core(mode: Mode = "max") -> QueryScorer:
    random = np.random.default_rng(0)
    texts = [f"{letter} word" for letter in random.choice(["a", "b"], 60)]
    history = History(
        [str(i) for i in range(60)],
        Letters().encode(texts),
        random.uniform(size=(60, 2)),
        random.uniform(50, 100, (60, 2)) * [1, 10],
    )
    estimator = Estimator.fit(history, ExactIndex(history.embeddings), texts)
    return QueryScorer(Letters(), estimator, FLEET, mode)


def wishes(n: int, **given: list[int]) -> QueryConstraints:
    values = {"prompt_tokens": [10] * n, "max_tokens": [UNSET] * n, "max_cost": [UNSET] * n}
    arrays = {name: np.array(given.get(name, value)) for name, value in values.items()}
    ids = [str(i) for i in range(n)]
    return QueryConstraints(ids, allowed=np.ones((n, 2), dtype=np.bool_), **arrays)


def estimates(n: int, upper: Floats | None = None) -> Estimates:
    even = np.ones((n, 2))
    nobody = np.zeros((n, 0))
    return Estimates(
        even,
        even,
        even if upper is None else upper,
        nobody.astype(np.int64),
        nobody.astype(np.float32),
    )


def test_given_embeddings_take_the_place_of_the_texts() -> None:
    """A query that carries its embedding is found by it, at whatever length it comes; the others
    are embedded."""
    vectors, found = core().estimate(["a word", "a word", "b word"], [None, [0.0, 5.0], None])
    assert_allclose(vectors, [[1, 0], [0, 1], [0, 1]])
    assert found.quality.shape == (3, 2)


def test_a_given_embedding_of_another_dimension_is_refused() -> None:
    """And the message says which dimension is needed."""
    with pytest.raises(ValueError, match="2"):
        core().estimate(["a word"], [[1.0, 0.0, 0.0]])


def test_bounds_pay_for_prompt_and_answer() -> None:
    """The bound is what the prompt and all allowed output tokens cost; a query's own limit counts
    where it is lower than the model's."""
    prepared = core().batch(estimates(2), wishes(2, max_tokens=[UNSET, 120]))
    assert_array_equal(prepared.output_tokens, [[100, 500], [100, 120]])
    assert_array_equal(prepared.batch.bound, [[10 + 200, 100 + 10_000], [10 + 200, 100 + 2400]])
    assert_array_equal(prepared.explicit_max_tokens, [False, True])


def test_what_does_not_fit_the_context_is_not_allowed() -> None:
    """Prompt and allowed answer together must fit; a shorter answer may make them."""
    prepared = core().batch(
        estimates(2), wishes(2, prompt_tokens=[250, 250], max_tokens=[UNSET, 50])
    )
    assert_array_equal(prepared.fits, [[True, False], [True, True]])
    assert_array_equal(prepared.batch.allowed, prepared.fits)


def test_what_a_query_may_cost_at_most() -> None:
    """Models whose bound exceeds the query's own limit are not allowed."""
    prepared = core().batch(
        estimates(2), wishes(2, max_cost=[1000, 209], max_tokens=[UNSET, UNSET])
    )
    assert_array_equal(prepared.batch.allowed, [[True, False], [False, False]])


def test_quantile_mode_reserves_what_answers_usually_cost() -> None:
    """The upper cost decides how many tokens are allowed, never fewer than one nor more than the
    model's; a query that says its limit keeps it."""
    upper = np.array([[70.0, 1e9], [0.0, 0.0], [70.0, 1e9]])
    prepared = core("quantile").batch(estimates(3, upper), wishes(3, max_tokens=[UNSET, UNSET, 90]))
    assert_array_equal(prepared.output_tokens, [[30, 500], [1, 1], [90, 90]])
    assert_array_equal(prepared.batch.bound[0], [10 + 60, 100 + 10_000])


def test_the_pool_that_holds_a_query_sets_its_price() -> None:
    """Reservation and estimated cost are that pool's; what no pool holds is not allowed."""
    pools = (Pool("short", 100, 5_000_000, 10_000_000), Pool("long", 300, 10_000_000, 20_000_000))
    small, large = FLEET.models
    fleet = ModelCatalog([small, replace(large, pools=pools)])
    scorer = QueryScorer(Letters(), core().estimator, fleet)
    asked = wishes(3, prompt_tokens=[10, 10, 10], max_tokens=[90, 91, 291])
    prepared = scorer.batch(estimates(3), asked)
    assert_array_equal(prepared.pools, [[NONE, 0], [NONE, 1], [NONE, NONE]])
    assert_array_equal(prepared.batch.bound[:2, 1], [50 + 900, 100 + 1820])
    assert_array_equal(prepared.batch.allowed[:, 1], [True, True, False])
    assert_allclose(prepared.batch.cost[:, 1], [0.5, 1.0, 1.0])
    assert_allclose(prepared.batch.cost[:, 0], 1.0)


def test_a_query_spills_from_a_busy_pool_at_the_price_of_the_other() -> None:
    """Not where that is more than it may cost: then it waits at the shorter one."""
    pools = (Pool("short", 100, 5_000_000, 10_000_000), Pool("long", 300, 10_000_000, 20_000_000))
    small, large = FLEET.models
    scorer = QueryScorer(
        Letters(), core().estimator, ModelCatalog([small, replace(large, pools=pools)])
    )
    short, long = 50 + 900, 100 + 1800
    most = [UNSET, long, long - 1, short - 1]
    asked = wishes(4, prompt_tokens=[10] * 4, max_tokens=[90] * 4, max_cost=most)
    before = scorer.batch(estimates(4), asked)
    assert_array_equal(before.pools[:, 1], [0, 0, 0, 0])
    spilling = scorer.following({}, Observed(busy=frozenset({"large.short"})))
    prepared = spilling.batch(estimates(4), asked)
    assert_array_equal(prepared.pools[:, 1], [1, 1, 0, 0])
    assert_array_equal(prepared.batch.bound[:, 1], [long, long, short, short])
    assert_allclose(prepared.batch.cost[:, 1], [1.0, 1.0, 0.5, 0.5])
    assert_array_equal(prepared.batch.allowed[:, 1], [True, True, True, False])
    assert_array_equal(prepared.batch.bound[:, 0], before.batch.bound[:, 0])
    again = spilling.following({}).batch(estimates(4), asked)
    assert_array_equal(again.pools, before.pools)


def test_without_text_the_models_means_count() -> None:
    """Nothing tells the query from others; those beside it are estimated as ever."""
    scorer = core()
    vectors, found = scorer.estimate(["", "a word", ""], [None, None, None])
    _, alone = scorer.estimate(["a word"])
    means = np.nanmean(scorer.estimator.history.scores, axis=0)
    assert_allclose(found.quality[[0, 2]], [means, means])
    assert_array_equal(found.quality[1], alone.quality[0])
    assert_array_equal(found.neighbours[1], alone.neighbours[0])
    assert (found.neighbours[[0, 2]] == -1).all()
    assert not vectors[[0, 2]].any()
    _, nothing = scorer.estimate([""])
    assert_allclose(nothing.quality, [means])
    _, given = scorer.estimate([""], [[1.0, 0.0]])
    assert (given.neighbours >= 0).any()


def test_media_and_choices_cost() -> None:
    """Images are input at each model's own rate, choices are output."""
    scorer = core()
    plain = scorer.batch(estimates(1), wishes(1, max_tokens=[10])).batch
    media = np.array([[100, 20]])
    asked = replace(wishes(1, max_tokens=[10]), media_tokens=media, choices=np.array([3]))
    batch = scorer.batch(estimates(1), asked).batch
    assert_array_equal(batch.bound - plain.bound, [[100 * 1 + 20 * 2, 20 * 10 + 20 * 20]])
    assert_allclose(batch.cost, plain.cost * 3 + [[100.0, 200.0]])
    asked = replace(asked, likely_tokens=np.array([[2000]]))
    assert not scorer.batch(estimates(1), asked).fits.any()


def test_each_call_that_may_be_billed_is_reserved_for() -> None:
    """A worker may make so many; what is expected to be spent stays one answer's cost."""
    plain = core().batch(estimates(1), wishes(1)).batch
    twice = ModelCatalog([replace(FLEET.models[0], retry_uncertain=1), FLEET.models[1]])
    scorer = core()
    batch = (
        QueryScorer(scorer.embedder, scorer.estimator, twice).batch(estimates(1), wishes(1)).batch
    )
    assert_array_equal(batch.bound, plain.bound * [2, 1])
    assert_allclose(batch.cost, plain.cost)


def test_learned_ratios_replace_others() -> None:
    """What was known before stays; a scorer with the same ones is itself."""
    scorer = core().following({}, Observed({"small\tprose": 4.0}))
    assert scorer.following({}, scorer.observed) is scorer
    grown = scorer.with_newcomers([Model("new", 1, 1)])
    assert grown.observed.ratios == {"small\tprose": 4.0}
    assert scorer.following({}, Observed()).observed.ratios == {}


def test_the_length_by_model_is_no_matter_of_money() -> None:
    """Where a query fits goes by it; what is reserved does not."""
    asked = wishes(1, prompt_tokens=[2000], max_tokens=[10])
    short = replace(asked, likely_tokens=np.array([[900, 250]]))
    assert core().batch(estimates(1), asked).fits.tolist() == [[False, False]]
    prepared = core().batch(estimates(1), short)
    assert prepared.fits.tolist() == [[True, True]]
    assert prepared.batch.bound.tolist() == core().batch(estimates(1), asked).batch.bound.tolist()
