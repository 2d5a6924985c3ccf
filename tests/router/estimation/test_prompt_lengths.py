"""Tokens of prompts by what usage has taught."""

from __future__ import annotations

import numpy as np

from router.estimation.prompt_lengths import PromptLengths

SIZES, OTHERWISE = np.array([1200, 1200]), np.array([900, 1000])
PROSE_AND_CODE = np.array([0, 1])


def test_lengths_go_by_model_and_kind_of_text() -> None:
    """Where these are known; elsewhere by the rule for what is not."""
    lengths = PromptLengths({"small\tprose": 4.0, "large\tcode": 3.5}, ["small", "large"])
    found = lengths.tokens(SIZES, PROSE_AND_CODE, OTHERWISE)
    assert found.tolist() == [[300, 900], [1000, 343]]


def test_without_ratios_all_models_count_alike() -> None:
    """As before anything was learned."""
    found = PromptLengths({}, ["small", "large"]).tokens(SIZES, PROSE_AND_CODE, OTHERWISE)
    assert found.tolist() == [[900], [1000]]
