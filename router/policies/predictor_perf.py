"""Predictor-Perf: the highest score by a trained predictor (stands for the paper's Roberta-Perf).

The paper fine-tunes RoBERTa on the history's texts. Sluice asks no one for a GPU to run a
baseline: here the predictor is a ridge regression on the same embeddings that the neighbours use
(`router/evaluation/predictor.py`), so it is trained but weaker on words that embeddings miss.
"""

from __future__ import annotations

from router.policies.greedy_perf import GreedyPerf


class PredictorPerf(GreedyPerf):
    """Greedy-Perf on predicted scores."""

    name = "predictor-perf"
    estimator = "predictor"
