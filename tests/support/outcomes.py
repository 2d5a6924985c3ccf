"""Small recorded outcomes that the tests make themselves."""

from __future__ import annotations

import numpy as np

from router.evaluation.datasets import Dataset
from router.evaluation.experiment import EvaluationData

WORDS = {
    "maths": "sum product integral fraction equation triangle",
    "poetry": "sonnet rhyme verse metaphor stanza lyric",
    "code": "function loop variable compiler recursion pointer",
}


def outcomes(n: int = 120, seed: int = 0, models: int = 3) -> Dataset:
    """n queries of three tasks, on which different models are good; dearer models are better."""
    random = np.random.default_rng(seed)
    tasks = [str(task) for task in random.choice(list(WORDS), n)]
    prompts = [
        f"{task} {i}: " + " ".join(random.choice(WORDS[task].split(), 6))
        for i, task in enumerate(tasks)
    ]
    skill = np.array(
        [[0.2 + 0.2 * m + 0.3 * (m % 3 == t) for m in range(models)] for t in range(3)]
    )
    chance = skill[[list(WORDS).index(task) for task in tasks]]
    costs = 1e5 * 4.0 ** np.arange(models) * random.uniform(0.5, 1.5, (n, models))
    return Dataset(
        ids=[f"q{i}" for i in range(n)],
        tasks=tasks,
        prompts=prompts,
        models=tuple(f"maker/model-{m}" for m in range(models)),
        scores=(random.uniform(size=(n, models)) < chance).astype(np.float64),
        costs=np.round(costs),
    )


def ground(n: int = 120, seed: int = 0, models: int = 3) -> EvaluationData:
    """The outcomes split, with embeddings that know the task and little else."""
    data = outcomes(n, seed, models)
    history, queries = data.split(0.4, seed)
    return EvaluationData(history, queries, vectors(history), vectors(queries))


def vectors(data: Dataset) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """float32[n, 8] unit vectors: the task, and noise that belongs to the id."""
    rows = np.zeros((len(data), 8), dtype=np.float32)
    for row, (name, task) in enumerate(zip(data.ids, data.tasks, strict=True)):
        rows[row] = np.random.default_rng(int(name[1:])).normal(0, 0.3, 8)
        rows[row, list(WORDS).index(task)] += 1
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


class NoFailures:
    """The part of a `DecisionState` that knows of failed calls, where there are none."""

    def is_failover(self, decision_id: str) -> bool:
        return False

    def end_failover(self, decision_id: str) -> None:
        raise AssertionError(decision_id)
