"""How building an index, and deciding with it, grow with the history.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.large_history [--rows 20000,200000,1000000]

Histories are made up (11 models); each is built by `sluice index build` as a process of its own.
Processor time is counted, so that other work on the machine does not: one thread is used, so alone
it takes about as long. Decisions are estimate, score and reserve of prompts that the history lacks,
with embeddings and texts given, in chunks of 512; the baseline is the first number of rows.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson

from benchmarks.decision import rate, warm
from benchmarks.machine import machine
from router.estimation.embedders import make_embedder
from router.estimation.estimator import Estimator
from router.estimation.index.manifest import load_index
from router.evaluation import budgets
from router.evaluation.workload import synthesize
from schemas.fields import NANO

STEP = 100_000
"""Rows made up at once."""
ASKED = 5120
"""Decisions that are timed."""


def lines(rows: int) -> Iterator[bytes]:
    """Yield the lines of a made-up history."""
    for begin in range(0, rows, STEP):
        data = synthesize(min(STEP, rows - begin), seed=begin + 1)
        for row in range(len(data)):
            costs = (data.costs[row] / NANO).tolist()
            yield orjson.dumps(
                {
                    "id": f"{begin}-{data.ids[row]}",
                    "prompt": data.prompts[row],
                    "scores": dict(zip(data.models, data.scores[row].tolist(), strict=True)),
                    "cost_usd": dict(zip(data.models, costs, strict=True)),
                },
                option=orjson.OPT_APPEND_NEWLINE,
            )


def build(rows: int, folder: Path) -> tuple[float, float]:
    """Build the index of so many rows into `index`.

    Returns:
        Processor seconds and peak GiB of the command.
    """
    with (folder / "history.jsonl").open("wb") as file:
        file.writelines(lines(rows))
    models = synthesize(1).models
    config = folder / "sluice.toml"
    sections = (
        f'[models."{name}"]\ninput_price = "0"\noutput_price = "1"\nmax_output_tokens = 1000\n'
        for name in models
    )
    config.write_text(
        '[policy]\nexpected_queries = 1000\n[budget]\ntotal = "1"\n' + "".join(sections)
    )
    command = [str(Path(sys.executable).with_name("sluice")), "index", "build"]
    command += ["-c", str(config), "--history", str(folder / "history.jsonl")]
    command += ["--most", str(rows), "--keep", "0", "--out", str(folder / "index")]
    process = os.spawnv(os.P_NOWAIT, command[0], command)
    _, status, used = os.wait4(process, 0)
    if status:
        raise SystemExit(f"sluice index build ended with {status}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20


def decisions(folder: Path) -> float:
    """Decisions a second of processor time with the index in `index`."""
    embedder = make_embedder()
    saved = load_index(folder / "index", embedder=embedder.name, dimension=embedder.dimension)
    estimator = Estimator.from_arrays(saved.estimator, saved.history, saved.index)
    data = synthesize(2 * ASKED, seed=0)
    past, later = data.take(np.arange(ASKED)), data.take(np.arange(ASKED, 2 * ASKED))
    policy, limits = warm(estimator, data.catalog(), budgets.limits(past, later))
    queries = later.history(embedder.encode(list(later.prompts)))
    return rate(estimator, policy, limits, queries, list(later.prompts))


def main() -> None:
    """Print a row a history."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="20000,200000,1000000")
    asked = parser.parse_args()
    print(machine())
    print(
        f"{'rows':>10} {'build, s':>9} {'peak GiB':>9} {'index GiB':>10} {'decisions/s':>12}  ratio"
    )
    first = 0.0
    for rows in map(int, asked.rows.split(",")):
        with tempfile.TemporaryDirectory(prefix="sluice-bench-") as name:
            folder = Path(name)
            seconds, memory = build(rows, folder)
            size = sum(file.stat().st_size for file in (folder / "index").iterdir()) / 2**30
            speed = decisions(folder)
            first = first or speed
            print(
                f"{rows:>10,} {seconds:>9.0f} {memory:>9.1f} {size:>10.2f} {speed:>12,.0f}"
                f"  {first / speed:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
