"""Text features: fitted once to a history, and the same for every text afterwards."""

from __future__ import annotations

import numpy as np

from router.estimation.features import OUTLIER, RARE, SHAPE_WEIGHT, TextFeatures
from tests.support.outcomes import outcomes

TEXTS = outcomes(60).prompts
FEATURES, OWN = TextFeatures.fit(TEXTS)


def test_a_history_s_own_features_are_what_its_texts_get() -> None:
    """Fitting and applying agree."""
    again = FEATURES(TEXTS)
    assert np.allclose(again.words, OWN.words, atol=1e-6)
    assert np.allclose(again.shape, OWN.shape, atol=1e-6)


def test_a_text_does_not_depend_on_its_company() -> None:
    """One at a time gives what all at once gives."""
    for row in (0, 17, 59):
        [alone] = FEATURES([TEXTS[row]]).words
        assert np.allclose(alone, OWN.words[row], atol=1e-6)


def test_the_same_seed_gives_the_same_features() -> None:
    """Fits repeat to the bit."""
    again, own = TextFeatures.fit(TEXTS)
    assert np.array_equal(own.words, OWN.words)
    for name, array in FEATURES.arrays().items():
        assert np.array_equal(array, again.arrays()[name])


def test_saved_features_are_the_features() -> None:
    """What is loaded computes what was saved."""
    loaded = TextFeatures.from_arrays(FEATURES.arrays())
    assert np.array_equal(loaded(TEXTS).words, FEATURES(TEXTS).words)
    assert np.array_equal(loaded(TEXTS).shape, FEATURES(TEXTS).shape)


def test_texts_on_the_same_matter_are_near() -> None:
    """Directions keep what texts have in common: tasks fall apart."""
    tasks = np.array([text.split()[0] for text in TEXTS])
    unit = OWN.words / np.linalg.norm(OWN.words, axis=1, keepdims=True)
    alike = unit @ unit.T
    same = tasks[:, None] == tasks[None]
    np.fill_diagonal(same, False)
    assert alike[same].mean() > alike[tasks[:, None] != tasks[None]].mean() + 0.2


def test_rare_words_and_odd_shapes_are_bounded() -> None:
    """A text without a known word is at the origin; no measure is further than OUTLIER."""
    features, _ = TextFeatures.fit(["a b", "a b", "a b"][: RARE - 1])
    assert features(["anything"]).words.shape == (1, 0)
    strange = FEATURES(["9" * 50_000 + "!?" * 1000])
    assert np.abs(strange.words).max() == 0.0
    assert np.abs(strange.shape).max() <= SHAPE_WEIGHT * OUTLIER * (1 + 1e-6)
