"""Tokens of prompts by what usage has taught."""

from __future__ import annotations

import numpy as np

from router.estimation.observed import Observed
from router.estimation.prompt_lengths import PromptLengths
from router.models.catalog import Model, ModelCatalog
from schemas.price import ImageTokens

SIZES, OTHERWISE = np.array([1200, 1200]), np.array([900, 1000])
PROSE_AND_CODE = np.array([0, 1])
MODELS = ModelCatalog(
    [Model("small", 1, 1, image_tokens=100), Model("large", 1, 1, audio_tokens=50)]
)


def test_lengths_go_by_model_and_kind_of_text() -> None:
    """Where these are known; elsewhere by the rule for what is not."""
    learned = Observed({"small\tprose": 4.0, "large\tcode": 3.5})
    found = PromptLengths(learned, MODELS).tokens(SIZES, PROSE_AND_CODE, OTHERWISE)
    assert found.tolist() == [[300, 900], [1000, 343]]


def test_without_ratios_all_models_count_alike() -> None:
    """As before anything was learned."""
    found = PromptLengths(Observed(), MODELS).tokens(SIZES, PROSE_AND_CODE, OTHERWISE)
    assert found.tolist() == [[900], [1000]]


def test_images_take_what_was_seen() -> None:
    """No less than is declared, and only where that is what it was; of models that there are."""
    declared = {"small": 100, "gone": 100}
    images, audio = np.array([2, 0]), np.array([0, 3])
    for seen, taken in ((700, 1_400), (50, 200)):
        learned = {name: ImageTokens(declared=n, tokens=seen) for name, n in declared.items()}
        lengths = PromptLengths(Observed({}, learned), MODELS)
        assert lengths.media_tokens(images, audio).tolist() == [[taken, 0], [0, 150]]
    changed = Observed({}, {"small": ImageTokens(declared=99, tokens=700)})
    assert PromptLengths(changed, MODELS).media_tokens(images, audio)[0].tolist() == [200, 0]
