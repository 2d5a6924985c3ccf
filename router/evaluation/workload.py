"""A synthetic workload: made-up queries with made-up outcomes of eleven models.

**It is synthetic.** No model was asked anything. What is real is only the mean score and the mean
cost of each model, which are those that RouterBench (Hu et al. 2024, arXiv 2403.12031) published
for eleven models. All else is drawn from a seed: the prompts come from templates, and a query's
chance of a good answer follows from its topic, its difficulty and the model. Results on it show
that the machinery works, never how good a policy is on real traffic.
"""

from __future__ import annotations

import numpy as np

from router.arrays import Floats, Ints
from router.evaluation.datasets import Dataset
from router.evaluation.workload_words import DETAILS, EASY, HARD, OPENINGS, TOPICS
from schemas.fields import NANO

PUBLISHED = {
    "WizardLM-13B": (7.27e-5, 0.432),
    "claude-instant-v1": (2.32e-4, 0.598),
    "claude-v1": (2.14e-3, 0.631),
    "claude-v2": (2.41e-3, 0.636),
    "gpt-3.5-turbo-1106": (2.42e-4, 0.617),
    "gpt-4-1106": (3.28e-3, 0.781),
    "code-llama-34b": (1.71e-4, 0.203),
    "llama-2-70b": (2.02e-4, 0.328),
    "mistral-7b": (4.56e-5, 0.308),
    "mixtral-8x7b": (1.34e-4, 0.550),
    "Yi-34B": (1.85e-4, 0.648),
}
"""Model: (mean cost in dollars, mean score) over RouterBench."""

STRENGTH = 1.3
"""Spread, in log-odds, of what a topic adds to or takes from a model's chance."""
DIFFICULTY = 1.1
"""Log-odds that a hard wording takes from every model, and an easy one gives."""
NOISE = 0.8
"""Spread, in log-odds, of what no wording shows."""
PROMPT_SHARE = 0.3
"""The part of a mean cost that the prompt makes; the answer makes the rest."""


def synthesize(count: int = 8_600, seed: int = 0) -> Dataset:
    """`count` synthetic queries with every model's outcome; the same seed gives the same ones.

    Scores are 0 or 1, and means over the queries differ from the published ones by the draw
    alone; costs grow with the lengths of prompt and answer, and their means are the published
    ones. Raises ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"a workload has at least 1 query, not {count}")
    rng = np.random.default_rng(seed)
    topics = rng.integers(len(TOPICS), size=count)
    hardness = rng.choice([-1, 0, 1], size=count)
    prompts = [
        _prompt(int(topic), int(hard), rng) for topic, hard in zip(topics, hardness, strict=True)
    ]
    names = list(TOPICS)
    return Dataset(
        ids=[f"synthetic-{seed}-{row:06d}" for row in range(count)],
        tasks=[names[topic] for topic in topics],
        prompts=prompts,
        models=tuple(PUBLISHED),
        scores=_scores(topics, hardness, rng),
        costs=_costs(prompts, topics, hardness, rng),
    )


def _prompt(topic: int, hard: int, rng: np.random.Generator) -> str:
    """A question whose words show its topic, and (most of the time) how hard it is."""
    templates, things = list(TOPICS.values())[topic]
    first, second = rng.choice(len(things), size=2, replace=False)
    question = templates[rng.integers(len(templates))].format(a=things[first], b=things[second])
    parts = [question]
    if rng.random() < 0.5:
        parts.insert(0, OPENINGS[rng.integers(len(OPENINGS))])
    if hard and rng.random() < 0.85:
        wordings = HARD if hard > 0 else EASY
        parts.append(wordings[rng.integers(len(wordings))])
    for row in rng.choice(len(DETAILS), size=rng.integers(0, 3), replace=False):
        parts.append(DETAILS[row].format(n=rng.integers(2, 40)))
    return " ".join(parts)


def _scores(topics: Ints, hardness: Ints, rng: np.random.Generator) -> Floats:
    """float64[n, M] of 0 and 1."""
    means = np.array([score for _, score in PUBLISHED.values()])
    strengths = rng.normal(0, STRENGTH, (len(TOPICS), len(means)))
    shared = rng.normal(0, NOISE, (len(topics), 1))
    logits = strengths[topics] - DIFFICULTY * hardness[:, None] + shared
    return (rng.random(logits.shape) < _sigmoid(logits + _shift(logits, means))).astype(np.float64)


def _shift(logits: Floats, means: Floats) -> Floats:
    """What to add to each column so that its mean chance is the given one: by halving."""
    low, high = np.full(len(means), -20.0), np.full(len(means), 20.0)
    for _ in range(50):
        middle = (low + high) / 2
        below = _sigmoid(logits + middle).mean(axis=0) < means
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2, dtype=np.float64)


def _costs(prompts: list[str], topics: Ints, hardness: Ints, rng: np.random.Generator) -> Floats:
    """float64[n, M], whole nano-dollars: prompt length and answer length, each to its share."""
    means = np.array([cost for cost, _ in PUBLISHED.values()])
    asked = np.array([len(prompt) for prompt in prompts], dtype=np.float64)[:, None]
    wordy = rng.normal(0, 0.5, (len(TOPICS), 1))[topics] + 0.35 * hardness[:, None]
    answered = np.exp(wordy + rng.normal(0, 0.4, (len(prompts), len(means))))
    share = PROMPT_SHARE * asked / asked.mean()
    share = share + (1 - PROMPT_SHARE) * answered / answered.mean(axis=0)
    costs: Floats = np.rint(share * means * NANO)
    return costs


def _sigmoid(logits: Floats) -> Floats:
    chances: Floats = 1 / (1 + np.exp(-logits))
    return chances
