"""`sluice demo`: run the whole system once and print its results."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column, Table

from schemas.fields import NANO
from streams.cli.options import FILE, FOLDER, Number, console, ending, writable, write_json
from streams.demo.demo import DemoOptions, DemoRun, run
from streams.demo.figures import Figures, ModelSpending, PolicyFigures, as_json, figures
from streams.demo.money import SPLITS, Limiting, paying
from streams.demo.progress import DemoProgress

EVERY = 5.0
"""Seconds between two lines of progress where there is no terminal."""
POLICY_COLUMNS = (
    "policy", "RP %", "score", "cost $", "per $", "served", "deferred", "rejected", "lost"
)  # fmt: skip
SYNTHETIC = (
    "The workload is synthetic: made-up prompts and outcomes, of which only each model's mean "
    "score and mean cost are real (RouterBench). It shows that the machinery works, not how good "
    "a policy is on your traffic."
)


@click.command("demo")
@click.option(
    "--dataset",
    type=FILE,
    help="Recorded outcomes (JSON lines, plain or .gz): 65 % become the history, 35 % the "
    "queries. [default: a made-up workload]",
)
@click.option(
    "--queries",
    type=click.IntRange(10, 100_000),
    default=3000,
    help="Queries of the made-up workload.",
)
@click.option("--broker", metavar="HOST:PORT", help="[default: an embedded broker, in memory]")
@click.option("--routers", type=click.IntRange(1, 64), default=1, help="Router processes.")
@click.option("--partitions", type=click.IntRange(1, 256), default=3, help="Of queries.")
@click.option(
    "--rate",
    type=Number(0, min_open=True),
    default=75.0,
    help="Queries a second. Slower is better: prices follow the money once a second.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Of workload and split.")
@click.option(
    "--budget",
    "limiting",
    type=click.Choice(list(SPLITS)),
    default="models",
    show_default=True,
    help="One for each model; or one that all share; or that, and less for the dearer models, a "
    "part for each of three tenants, and tokens a minute.",
)
@click.option(
    "--money",
    type=Number(0, 1e6, min_open=True),
    default=1.0,
    show_default=True,
    help="In what the cheapest model needs for all queries.",
)
@click.option(
    "--latency-median",
    "latency",
    type=Number(0, 3600, min_open=True),
    help="Seconds that an answer takes, in the middle of a log-normal distribution. "
    "[default: no time]",
)
@click.option(
    "--ui/--no-ui",
    default=True,
    show_default=True,
    help="Serve a page about the demo; needs the extra `serve`.",
)
@click.option("--keep-open", is_flag=True, help="Leave everything running at the end, till Ctrl-C.")
@click.option("--json", "json_out", type=FILE, callback=writable, help="Write all figures here.")
@click.option(
    "--keep",
    type=FOLDER,
    help="Work in this new folder and keep it: configuration, index, logs. "
    "[default: a temporary one]",
)
def command(
    dataset: Path | None,
    queries: int,
    broker: str | None,
    routers: int,
    partitions: int,
    rate: float,
    seed: int,
    limiting: Limiting,
    money: float,
    latency: float | None,
    ui: bool,
    keep_open: bool,
    json_out: Path | None,
    keep: Path | None,
) -> None:
    """Run the whole system once on this machine.

    Starts a broker, router processes and a worker for all models, sends queries, and waits for
    the end of each. Nobody is called: answers are recorded or made up. Then other policies
    run offline on the same queries, under the same budgets.
    """
    page = ui and _can_serve()
    options = DemoOptions(
        dataset, queries, broker, routers, partitions, rate, seed, latency, page, limiting, money
    )
    with _terminated(), _folder(keep) as folder, _Display() as display:

        def report(ran: DemoRun) -> None:
            display.say("the same queries under other policies")
            found = figures(ran)
            display.stop()
            _print(ran, options, found)
            write_json(json_out, as_json(options, found))
            if keep_open:
                _stay(ran.page)
            _check(found)

        if ui and not page:
            display.say("without a page: pip install 'sluice-llm[serve]'")
        run(options, folder, display.say, display.show, report)


def _can_serve() -> bool:
    """Whether what the page is served with is installed."""
    return all(find_spec(name) is not None for name in ("httptools", "starlette", "uvicorn"))


def _stay(page: str | None) -> None:
    """Wait for Ctrl-C or SIGTERM, with everything up."""
    click.echo(f"{f'the page: {page}; ' if page else ''}everything runs on until Ctrl-C", err=True)
    with ending() as ended:
        ended.wait()


def _check(found: Figures) -> None:
    """Raise ClickException where the demo has broken a promise."""
    if found.twice or found.over_limit:
        raise click.ClickException(
            f"{found.twice} queries went to two models; over their limit: "
            f"{', '.join(found.over_limit) or 'none'}"
        )


@contextmanager
def _terminated() -> Iterator[None]:
    """Let SIGTERM end this process as Ctrl-C does: with every process it has started."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with TemporaryDirectory(prefix="sluice-demo-") as folder:
            yield Path(folder)
        return
    try:
        keep.mkdir(parents=True)
    except FileExistsError:
        raise click.BadParameter(f"{keep} already exists: name a new folder") from None
    yield keep.resolve()


class _Display:
    """Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.fields[state]}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            console=self._console,
            expand=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, visible=False, state="")
        self._shown = 0.0
        self._state = ""

    def __enter__(self) -> _Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._bar.stop()

    def say(self, words: str) -> None:
        self._console.print(words, highlight=False, soft_wrap=True)

    def show(self, produced: int, total: int, progress: DemoProgress) -> None:
        """Called often."""
        rest = 0.2 if self._console.is_terminal else EVERY
        if time.monotonic() - self._shown < rest:
            return
        self._shown = time.monotonic()
        counts = progress.counts()
        state = (
            f"produced {produced:,}  routed {counts.routed:,}  deferred {counts.deferred:,}  "
            f"answered {counts.answered:,}  spent ${counts.spent / NANO:.4f}"
        )
        if self._console.is_terminal:
            self._bar.update(self._task, completed=produced, total=total, visible=True, state=state)
        elif state != self._state:
            self.say(state)
        self._state = state


def _print(ran: DemoRun, options: DemoOptions, found: Figures) -> None:
    out = console(130)
    table = _table(_title(ran, options), POLICY_COLUMNS)
    table.add_row(*_cells(f"{found.ran.name}, as it ran", found.ran), style="bold")
    table.add_row(*_cells(f"{found.offline.name}, offline", found.offline))
    for policy in found.others:
        table.add_row(*_cells(policy.name, policy))
    out.print(table)
    if found.shared:
        table = _table("The same money as one budget for all models, offline", POLICY_COLUMNS)
        for policy in found.shared:
            table.add_row(*_cells(policy.name, policy))
        out.print(table)
    gap = found.offline.score - found.ran.score
    out.print(
        f"\nA decision took {found.p50 * 1000:.0f} ms (p50), {found.p99 * 1000:.0f} ms (p99), from "
        "the making of the query's record.\n"
        f"Shares, reservations and latency {'cost' if gap >= 0 else 'won'} {abs(gap):.1f} of the "
        f"{found.offline.score:.1f} that the same policy reaches offline "
        f"({abs(gap) / max(found.offline.score, 1e-9):.1%}).\n"
        "RP: score relative to offline-lp-estimates in the first table, the linear program over "
        "all queries at once on means of 5 neighbours.\n"
        "lost: offline, the true cost no longer fitted the budget; as it ran, the answer was cut "
        "at what was reserved (charged, scored 0) or failed.",
        soft_wrap=True,
    )
    out.print(_money(found.accounts))
    if options.dataset is None:
        out.print(SYNTHETIC, style="bold", soft_wrap=True)


def _title(ran: DemoRun, options: DemoOptions) -> str:
    amounts = ran.config.amounts()
    total = sum(amounts[name] for name in paying(options.limiting, list(ran.config.models)))
    words = {
        "models": "a budget each",
        "shared": "one budget",
        "overlapping": "one budget and limits for the dearer models, tenants and tokens a minute",
    }
    return (
        f"{len(ran.data.queries):,} queries, {len(ran.config.models)} models, "
        f"${total / NANO:.4f} in all: {words[options.limiting]}"
    )


def _table(title: str, columns: Sequence[str]) -> Table:
    """Without frames, so that 80 columns hold it."""
    table = Table(
        *(Column(name, justify="right", no_wrap=True) for name in columns),
        title=f"\n{title}",
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=0,
    )
    table.columns[0].justify = "left"
    return table


def _cells(name: str, policy: PolicyFigures) -> tuple[str, ...]:
    return (
        name,
        f"{policy.relative:.1f}",
        f"{policy.score:.1f}",
        f"{policy.cost / NANO:.4f}",
        f"{policy.per_dollar:.0f}",
        f"{policy.served:,}",
        f"{policy.deferred:,}",
        f"{policy.rejected:,}",
        f"{policy.lost:,}",
    )


def _money(accounts: Sequence[ModelSpending]) -> Table:
    table = _table("Budgets, $", ("model", "spent", "limit", "spent %", "reserved"))
    for one in accounts:
        table.add_row(
            one.model,
            f"{one.spent / NANO:.6f}",
            f"{one.limit / NANO:.6f}",
            f"{100 * one.spent / max(one.limit, 1):.1f}",
            f"{one.reserved / NANO:.6f}",
        )
    return table
