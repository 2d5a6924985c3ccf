"""Texts a second: the default embedder against wordllama's own `embed`.

    python -m benchmarks.embed [--texts 4000] [--repeats 3]

Both run in this process in turn, on the same texts, in calls of 500 texts (a chunk of the router),
and no text is given to one of them twice. Texts differ in length, by half of the mean either way.
Medians of the repeats. On a busy machine compare the microseconds of processor time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np

from benchmarks.texts import make_texts
from router.estimation.embedders.wordllama import WordLlamaEmbedder, load_package

CHUNK = 500
LENGTHS = (50, 200, 1000)


def measure(embed: Callable[[list[str]], object], texts: list[str]) -> tuple[float, float]:
    """Texts a second, and microseconds of all cores' time for a text."""
    start, work = time.perf_counter(), time.process_time()
    for i in range(0, len(texts), CHUNK):
        embed(texts[i : i + CHUNK])
    took, worked = time.perf_counter() - start, time.process_time() - work
    return len(texts) / took, worked / len(texts) * 1e6


def main() -> None:
    """Print a line for each length of text."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--texts", type=int, default=4000)
    options.add_argument("--repeats", type=int, default=3)
    chosen = options.parse_args()
    ours, shipped = WordLlamaEmbedder(), load_package()

    def as_shipped(texts: list[str]) -> np.ndarray:
        vectors: np.ndarray = shipped.embed(texts, norm=True)
        return vectors

    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("characters | as shipped: texts/s, us | ours: texts/s, us | ratio: texts/s, us | differ")
    for length in LENGTHS:
        rounds = []
        for repeat in range(chosen.repeats):
            texts = make_texts(chosen.texts, length, seed=repeat)
            rounds.append((*measure(as_shipped, texts), *measure(ours.encode, texts)))
        rate, work, our_rate, our_work = map(statistics.median, zip(*rounds, strict=True))
        differ = np.abs(as_shipped(texts[:CHUNK]) - ours.encode(texts[:CHUNK])).max()
        print(
            f"{length:>10} | {rate:>13,.0f} {work:>9.0f} | {our_rate:>11,.0f} {our_work:>6.0f} | "
            f"{our_rate / rate:>12.2f} {work / our_work:>6.2f} | {differ:.0e}"
        )


if __name__ == "__main__":
    main()
