"""Queries a second and recall: Annoy against exact neighbours.

    python -m benchmarks.index [--rows 20000] [--queries 2000] [-k 16] [--dataset FILE.jsonl.gz]

The exact index is the baseline. Vectors are wordllama's, of made-up texts or of a dataset's
prompts. Set OPENBLAS_NUM_THREADS=1 to compare one thread with one thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.texts import make_texts
from router.arrays import Vectors
from router.estimation.embedders import make_embedder
from router.estimation.index import AnnoyIndex, ExactIndex, NeighbourIndex
from router.evaluation.datasets import read_jsonl

CHUNK = 500
SEARCH_K = (200, 400, 800, 1600)
THREADS = (1, 2)


def rate(index: NeighbourIndex, queries: Vectors, k: int, repeats: int = 3) -> float:
    """Queries a second in calls of CHUNK, the median of some rounds."""
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        for i in range(0, len(queries), CHUNK):
            index.search(queries[i : i + CHUNK], k)
        rates.append(len(queries) / (time.perf_counter() - start))
    return statistics.median(rates)


def main() -> None:
    """Print a line for each kind of index."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rows", type=int, default=20_000)
    options.add_argument("--queries", type=int, default=2_000)
    options.add_argument("-k", type=int, default=16)
    options.add_argument("--dataset", type=Path)
    chosen = options.parse_args()
    rows, k = chosen.rows, chosen.k
    if chosen.dataset:
        texts = list(read_jsonl(chosen.dataset).prompts)
        np.random.default_rng(0).shuffle(texts)
        rows = min(rows, len(texts) * 4 // 5)
    else:
        texts = make_texts(rows + chosen.queries, 200)
    vectors = make_embedder().encode(texts[: rows + chosen.queries])
    history, queries = vectors[:rows], vectors[rows:]
    exact = ExactIndex(history)
    truth = exact.search(queries, k).rows
    baseline = rate(exact, queries, k)
    print(f"{rows} rows x {vectors.shape[1]}, {len(queries)} queries, k = {k}; "
          f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    print(f"{'index':<34} {'queries/s':>10} {'ratio':>6} {'recall':>7}")

    def line(name: str, index: NeighbourIndex) -> None:
        speed = rate(index, queries, k)
        found = index.search(queries, k).rows
        recall = np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)])
        print(f"{name:<34} {speed:>10,.0f} {speed / baseline:>6.2f} {recall:>7.3f}")

    print(f"{'exact':<34} {baseline:>10,.0f} {1:>6.2f} {1:>7.3f}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.ann"
        start = time.perf_counter()
        AnnoyIndex.build(history, path)
        built = time.perf_counter() - start
        for search_k in SEARCH_K:
            for threads in THREADS:
                name = f"annoy, search_k {search_k}, {threads} thread{'s' * (threads > 1)}"
                line(name, AnnoyIndex(path, vectors.shape[1], search_k, threads))
        print(f"building Annoy took {built:.2f} s, {path.stat().st_size / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
