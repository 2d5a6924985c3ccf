"""Estimates: what is expected of each model's answer."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from router.arrays import Floats, even_rows
from router.estimation.estimator import FITTED, SAMPLE, Estimator, sample_rows
from router.estimation.history import History
from router.estimation.index.exact import ExactIndex
from router.estimation.trust import departing

MODELS = 3
TOPICS = ("solve the equation", "write a function in code", "who was the king of")


def world(n: int, seed: int = 0) -> tuple[History, list[str]]:
    """Queries of three topics, each of them another model's strength; longer ones cost more."""
    random = np.random.default_rng(seed)
    topic = random.integers(0, 3, n)
    centre = np.random.default_rng(99).normal(size=(3, 8))
    vectors = centre[topic] + 0.4 * random.normal(size=(n, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    length = random.integers(1, 40, n)
    texts = [
        f"{TOPICS[t]} {'and more ' * size}number {random.integers(100)}"
        for t, size in zip(topic, length, strict=True)
    ]
    chance = np.where(topic[:, None] == np.arange(MODELS), 0.9, 0.3)
    scores = (random.uniform(size=(n, MODELS)) < chance).astype(np.float64)
    costs = 1e4 * (1 + length)[:, None] * np.array([1.0, 3.0, 10.0])
    costs = costs * random.lognormal(0, 0.1, (n, MODELS))
    ids = [f"q{i}" for i in range(n)]
    return History(ids, vectors.astype(np.float32), scores, costs), texts


def fitted(history: History, texts: list[str] | None) -> Estimator:
    return Estimator.fit(history, ExactIndex(history.embeddings), texts)


def explained(truth: Floats, guess: Floats) -> float:
    """The part of the variance, model by model, that an estimate explains."""
    missed = ((truth - guess) ** 2).sum(axis=0)
    return float((1 - missed / ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)).mean())


@pytest.fixture(scope="module")
def history() -> tuple[History, list[str]]:
    return world(800)


@pytest.fixture(scope="module")
def estimator(history: tuple[History, list[str]]) -> Estimator:
    return fitted(*history)


@pytest.fixture(scope="module")
def queries() -> tuple[History, list[str]]:
    return world(400, seed=1)


def test_finds_each_topics_model(estimator: Estimator, queries: tuple[History, list[str]]) -> None:
    """The model that is best at a query's topic is estimated best, and its chance about right."""
    found = estimator.estimate(queries[0].embeddings, queries[1])
    topic = np.array([TOPICS.index(t[: t.index(" and more")]) for t in queries[1]])
    assert (found.quality.argmax(axis=1) == topic).mean() > 0.97
    assert_allclose(found.quality.max(axis=1).mean(), 0.9, atol=0.08)
    assert ((found.quality >= 0) & (found.quality <= 1)).all()


def test_costs_follow_the_length_of_the_text(
    estimator: Estimator, queries: tuple[History, list[str]]
) -> None:
    """What a text's length says of the cost is found, without bias."""
    found = estimator.estimate(queries[0].embeddings, queries[1])
    assert explained(queries[0].costs, found.cost) > 0.9
    assert_allclose(found.cost.sum(axis=0), queries[0].costs.sum(axis=0), rtol=0.03)


@pytest.mark.parametrize("upper", [0.8, 0.9, 0.99])
def test_the_upper_cost_holds_for_the_part_asked_for(
    estimator: Estimator, queries: tuple[History, list[str]], upper: float
) -> None:
    """As many of new answers as was said cost at most their upper cost; it is never below cost."""
    history, index = estimator.history, estimator.index
    asked = Estimator.from_arrays(estimator.arrays(), history, index, upper)
    found = asked.estimate(queries[0].embeddings, queries[1])
    assert (found.upper_cost >= found.cost).all()
    assert_allclose((queries[0].costs <= found.upper_cost).mean(), upper, atol=0.04)


def test_without_texts(queries: tuple[History, list[str]], estimator: Estimator) -> None:
    """A history without texts, or a query whose text is unknown, is judged by its embedding."""
    bare = fitted(world(800)[0], None)
    for some in (bare, estimator):
        found = some.estimate(queries[0].embeddings)
        topic = np.array([TOPICS.index(t[: t.index(" and more")]) for t in queries[1]])
        assert (found.quality.argmax(axis=1) == topic).mean() > 0.9
        assert np.isfinite(found.cost).all()


def test_leave_one_out_is_honest(estimator: Estimator, queries: tuple[History, list[str]]) -> None:
    """The history's estimates explain as much of it as those of new queries do of them."""
    rows = sample_rows(800)
    own = explained(estimator.history.scores[rows], estimator.leave_one_out(rows).quality)
    new = estimator.estimate(queries[0].embeddings, queries[1])
    assert_allclose(own, explained(queries[0].scores, new.quality), atol=0.08)


def test_leave_one_out_leaves_out_the_row(estimator: Estimator) -> None:
    """No row of the history is its own neighbour."""
    rows = sample_rows(800)
    found = estimator.leave_one_out(rows)
    assert found.neighbours.shape == (len(rows), estimator.k)
    assert not (found.neighbours == rows[:, None]).any()


def test_a_batch_is_a_matter_of_speed_only(
    estimator: Estimator, queries: tuple[History, list[str]]
) -> None:
    """A query gets the same estimates alone as with others, to the last bit (I6)."""
    whole = estimator.estimate(queries[0].embeddings[:20], queries[1][:20])
    for i in range(20):
        alone = estimator.estimate(queries[0].embeddings[i : i + 1], queries[1][i : i + 1])
        assert_array_equal(alone.quality[0], whole.quality[i])
        assert_array_equal(alone.cost[0], whole.cost[i])
        assert_array_equal(alone.neighbours[0], whole.neighbours[i])


def test_outcomes_that_nobody_has_seen(queries: tuple[History, list[str]]) -> None:
    """With half of the outcomes missing, and all of one model's, estimates stay sensible: the
    newcomer is taken at the level of the others."""
    history, texts = world(800)
    random = np.random.default_rng(5)
    hidden = random.uniform(size=history.scores.shape) < 0.5
    hidden[:, 2] = True
    masked = History(
        history.ids,
        history.embeddings,
        np.where(hidden, np.nan, history.scores),
        np.where(hidden, np.nan, history.costs),
    )
    found = fitted(masked, texts).estimate(queries[0].embeddings, queries[1])
    assert np.isfinite(found.quality).all()
    assert np.isfinite(found.cost).all()
    assert explained(queries[0].scores[:, :2], found.quality[:, :2]) > 0.2
    assert abs(found.quality[:, 2].mean() - found.quality[:, :2].mean()) < 0.1


def test_a_model_that_costs_nothing(queries: tuple[History, list[str]]) -> None:
    """Its answers are expected to cost nothing, at most too, so that no budget can be too small."""
    history, texts = world(200)
    history.costs[:, 1] = 0.0
    found = fitted(history, texts).estimate(queries[0].embeddings, queries[1])
    assert not found.cost[:, 1].any()
    assert not found.upper_cost[:, 1].any()
    assert (found.cost[:, [0, 2]] > 0).all()


def test_saved_and_loaded(
    history: tuple[History, list[str]], estimator: Estimator, queries: tuple[History, list[str]]
) -> None:
    """The arrays give the same estimates back, and hold nothing but numbers."""
    arrays = estimator.arrays()
    assert all(value.dtype.kind in "if" for value in arrays.values())
    again = Estimator.from_arrays(arrays, history[0], ExactIndex(history[0].embeddings))
    for mine, other in (
        (
            again.estimate(queries[0].embeddings, queries[1]),
            estimator.estimate(queries[0].embeddings, queries[1]),
        ),
        (again.leave_one_out(), estimator.leave_one_out()),
    ):
        assert_array_equal(mine.quality, other.quality)
        assert_array_equal(mine.cost, other.cost)
        assert_array_equal(mine.upper_cost, other.upper_cost)


def test_refuses_arrays_of_another_history(estimator: Estimator) -> None:
    """A file that is incomplete, or belongs to another history, is refused."""
    other = world(100)[0]
    index = ExactIndex(other.embeddings)
    with pytest.raises(ValueError, match="build the index again"):
        Estimator.from_arrays(estimator.arrays(), other, index)
    with pytest.raises(ValueError, match="lacks 'k'"):
        Estimator.from_arrays({}, other, index)


@pytest.mark.parametrize("n", [2, 5, 40])
def test_small_histories(n: int, queries: tuple[History, list[str]]) -> None:
    """A handful of outcomes is enough to answer; none at all is refused."""
    history, texts = world(n)
    found = fitted(history, texts).estimate(queries[0].embeddings, queries[1])
    assert np.isfinite(found.quality).all()
    assert np.isfinite(found.cost).all()
    nothing = History([], np.zeros((0, 8), np.float32), np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(ValueError, match="at least 2"):
        fitted(nothing, [])


def test_sample_rows() -> None:
    """Evenly spread, without repetition, and no more than asked for."""
    assert_array_equal(sample_rows(5), np.arange(5))
    assert len(sample_rows(10 * SAMPLE)) == SAMPLE
    assert len(sample_rows(0)) == 0
    assert set(sample_rows(60_000)) <= set(even_rows(60_000, FITTED))


def test_a_long_history_is_fitted_on_a_part_and_corrects_by_all(
    history: tuple[History, list[str]],
    queries: tuple[History, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every row has a residual that its own outcome has not taught, and progress tells of all."""
    monkeypatch.setattr("router.estimation.estimator.FITTED", 400)
    monkeypatch.setattr("router.estimation.estimator.BLOCK", 150)
    told: list[int] = []
    past, texts = history
    found = Estimator.fit(past, ExactIndex(past.embeddings), texts, told.append)
    assert told == [400, 150, 150, 100]
    further = np.setdiff1d(np.arange(800), even_rows(800, 400))
    index = ExactIndex(np.zeros((1, 8), np.float32))  # whose one row is near to nothing
    ridge = Estimator(past, index, found.fitted).estimate(
        past.embeddings[further], [texts[row] for row in further]
    )
    missed = past.scores[further] - found.fitted.missed[further]
    assert_allclose(np.clip(missed, 1e-6, 1.0), ridge.quality, atol=1e-6)
    assert set(found.fitted.rows) <= set(even_rows(800, 400))
    guess = found.estimate(queries[0].embeddings, queries[1]).quality
    whole = fitted(past, texts).estimate(queries[0].embeddings, queries[1]).quality
    truth = queries[0].scores
    assert explained(truth, guess) > explained(truth, whole) - 0.05


def test_careful_estimates_are_nearer_to_the_means(
    history: tuple[History, list[str]], queries: tuple[History, list[str]]
) -> None:
    """Where models share limits, they differ from each other by the trust that was chosen."""
    past, texts = history
    full = fitted(past, texts)
    arrays = full.arrays() | {"trust": np.array(0.5)}
    index = ExactIndex(past.embeddings)
    careful = Estimator.from_arrays(arrays, past, index, careful=True)
    plain = Estimator.from_arrays(arrays, past, index)
    asked = queries[0].embeddings, queries[1]
    expected = full.estimate(*asked).quality
    assert_array_equal(plain.estimate(*asked).quality, expected)
    means = full.fitted.means
    assert_array_equal(careful.estimate(*asked).quality, departing(expected, means, 0.5))
    assert_allclose(means, past.scores.mean(axis=0), atol=0.03)
