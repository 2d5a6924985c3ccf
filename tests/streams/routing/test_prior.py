"""What is believed of models before anything is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from router.estimation.embedders import make_embedder
from router.policies.explore import Explore
from streams.config.settings import Config, load
from streams.routing.build import build
from streams.routing.prior import believed, prior_rows, write_prior

TEXT = """
[models.a]
input_price = "1"
output_price = "1"
[models.b]
input_price = "1"
output_price = "1"
[models.c]
input_price = "2"
output_price = "5"
{strength}
[models.d]
input_price = "9"
output_price = "9"
[budget]
total = "1"
[policy]
expected_queries = 100
[index]
path = "{folder}/index"
[embedder]
kind = "given"
dimension = 4
"""


def config(folder: Path, strength: str = "") -> Config:
    file = folder / "sluice.toml"
    file.write_text(TEXT.format(folder=folder, strength=strength))
    return load(file, {})


def test_beliefs(tmp_path: Path) -> None:
    """Dearer is stronger, the same price the same; what is declared counts."""
    assert believed(config(tmp_path)) == pytest.approx([0.5, 0.5, 0.7, 0.9])
    assert believed(config(tmp_path, "strength = 0.95")) == pytest.approx([0.5, 0.5, 0.95, 0.9])


def test_an_index_of_priors(tmp_path: Path) -> None:
    """It is the same whoever writes it, gives what is believed for any query, and has a policy
    that explores."""
    here = config(tmp_path)
    embedder = make_embedder("given", dimension=4)
    assert write_prior(here, embedder).version == write_prior(here, embedder).version
    parts = build(here, embedder)
    assert isinstance(parts.new_policy(), Explore)
    _, estimates = parts.scorer.estimate(["anything"], [[1.0, 0.0, 0.0, 0.0]])
    assert np.allclose(estimates.quality, [[0.5, 0.5, 0.7, 0.9]], atol=0.01)
    for table in (estimates.quality, estimates.cost):
        assert table[0, 1] == pytest.approx(table[0, 0], rel=1e-9), (
            "the policy takes them for alike"
        )
    assert np.allclose(estimates.cost[0] / estimates.cost[0, 0], [1, 1, 1450 / 350, 9], rtol=0.05)


def test_beliefs_leave_as_outcomes_come(tmp_path: Path) -> None:
    """A model has as many believed outcomes as observed ones are wanting; in the end none."""
    here = config(tmp_path)
    rows = prior_rows(here, np.array([30, 20, 0, 40]))
    assert rows is not None
    assert np.isfinite(rows.scores).sum(axis=0).tolist() == [0, 10, 30, 0]
    assert np.nanmax(rows.scores[:, 1:3], axis=0) == pytest.approx([0.5, 0.7])
    assert prior_rows(here, np.array([30, 31, 32, 33])) is None
