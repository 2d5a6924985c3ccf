"""Outcomes nobody has seen come from neighbours, and never from the query itself."""

from __future__ import annotations

import numpy as np

from router.estimation.history import History
from router.evaluation.imputation import impute

NAN = np.nan


def test_neighbours_of_history_and_log_are_averaged_without_the_query_itself() -> None:
    """With fewer queries than neighbours, each is the mean of all the others."""
    history = History(
        ["h0", "h1"],
        np.eye(4, dtype=np.float32)[:2],
        np.array([[1.0, NAN], [0.0, NAN]]),
        np.array([[10.0, NAN], [20.0, NAN]]),
    )
    scores, costs = impute(
        history,
        np.eye(4, dtype=np.float32)[2:],
        np.array([[0.2, NAN], [NAN, 0.6]]),
        np.array([[30.0, NAN], [NAN, 8.0]]),
    )
    assert np.allclose(scores[:, 0], [0.5, 0.4])
    assert np.allclose(costs[:, 0], [15.0, 20.0])
    assert scores[0, 1] == 0.6
    assert costs[0, 1] == 8.0


def test_what_no_neighbour_knows_is_the_model_s_mean() -> None:
    """A model with a single outcome has that one's value everywhere, its own query included."""
    history = History(["h0"], np.eye(2, dtype=np.float32)[:1], np.array([[NAN]]), np.array([[NAN]]))
    scores, costs = impute(
        history, np.eye(2, dtype=np.float32)[1:], np.array([[0.75]]), np.array([[4.0]])
    )
    assert scores.tolist() == [[0.75]]
    assert costs.tolist() == [[4.0]]
