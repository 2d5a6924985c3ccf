"""The documentation can be trusted: links lead somewhere, commands exist, examples run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from streams.cli import main
from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "examples/*.md", ".github/**/*.md")
    for page in ROOT.glob(pattern)
)
RUNNABLE = ("README.md", "docs/tutorial/first-run.md")
A_PAGE = 2 * PATIENCE
"""Seconds that the blocks of one page may take: they wait several times."""

_FENCE = re.compile(r"^( *)```[^\n]*\n.*?^\1```$", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"<!-- runnable -->\n```sh\n(.*?)```", re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_COMMAND = re.compile(r"(?:^|`|\(|&& |; )sluice ((?:[a-z]|--)[^`\n|#>&;)]*)", re.MULTILINE)
_OPTION = re.compile(r"(?<!\S)--?[a-z][a-z-]*")
_PATH = re.compile(r"`((?:schemas|router|streams|tests|docs|examples|benchmarks)/[\w./-]*)`")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    found: set[str] = set()
    for heading in _HEADING.findall(_FENCE.sub("", page.read_text())):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        found.add(re.sub(r"[^\w\s-]", "", words.lower()).strip().replace(" ", "-"))
    return found


def commands(text: str) -> Iterator[tuple[click.Command, list[str]]]:
    """Every `sluice …` in a text, as the command it names and the rest of its words."""
    for line in _COMMAND.findall(text):
        command: click.Command = main
        words = shlex.split(line.replace("…", ""), posix=True)
        while words and isinstance(command, click.Group) and not words[0].startswith("-"):
            inner = command.get_command(click.Context(command), words[0])
            assert inner is not None, f"sluice {line}: no command {words[0]!r}"
            command = inner
            words = words[1:]
        yield command, words


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_to_a_file_and_an_anchor(page: Path) -> None:
    """Every relative link names a file of the repository, and a heading where it names one."""
    broken = []
    for target in _LINK.findall(_FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_exist_with_their_options(page: Path) -> None:
    """Whatever `sluice …` a page shows is a command, with the options that it is shown with."""
    for command, words in commands(page.read_text()):
        parameters = command.get_params(click.Context(command))
        known = {option for parameter in parameters for option in parameter.opts}
        shown = {word for word in words if _OPTION.fullmatch(word)}
        assert shown <= known | {"-h", "--help"}, f"{command.name}: {shown - known}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_paths_exist(page: Path) -> None:
    """A path of the repository in backticks is one."""
    if page.name == "CHANGELOG.md":
        return
    paths = [path for path in _PATH.findall(page.read_text()) if "VERSION" not in path]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_decision_records_are_listed() -> None:
    """docs/decisions/index.md links every record by its number and title."""
    index = (ROOT / "docs/decisions/index.md").read_text()
    for record in sorted((ROOT / "docs/decisions").glob("0*.md")):
        number, title = record.read_text().splitlines()[0].removeprefix("# ").split(": ", 1)
        assert f"| {int(number)} | [{title}]({record.name}) |" in index


def test_home_leads_to_every_page() -> None:
    """docs/index.md links every page but the single decision records and the parts of the API."""
    home = ROOT / "docs/index.md"
    linked = {(home.parent / target).resolve() for target in _LINK.findall(home.read_text())}
    pages = {page for page in PAGES if home.parent in page.parents and page != home}
    listed_elsewhere = {home.parent / "decisions", home.parent / "reference/api"}
    assert {page for page in pages - linked if page.parent not in listed_elsewhere} == set()


def test_packages_are_documented() -> None:
    """docs/explanation/architecture.md says what each package is for."""
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    for package in ("streams", "router"):
        _, table = page.split(f"| `{package}/…` |", 1)
        table = table.split("\n\n", 1)[0]
        folders = {file.parent.name for file in (ROOT / package).glob("*/__init__.py")}
        assert folders == set(re.findall(r"`(\w+)/`", table))


def test_metrics_are_documented() -> None:
    """docs/reference/metrics.md names every metric that the code exposes, and no other."""
    sources = "".join(file.read_text() for file in (ROOT / "streams/metrics").glob("*.py"))
    page = (ROOT / "docs/reference/metrics.md").read_text()
    documented = set(re.findall(r"^\| `(sluice_\w+)`", page, re.MULTILINE))
    exposed = set(re.findall(r'"(sluice_[a-z_]+[a-z])"', sources))
    assert exposed - {"sluice_budget"} <= documented
    computed = ("sluice_budget_", "sluice_limit_")  # names that the code puts together
    assert {name for name in documented if not name.startswith(computed)} <= exposed


def test_the_worker_of_the_how_to_is_the_example() -> None:
    """docs/how-to/write-a-worker.md shows examples/worker.py as it is."""
    page = (ROOT / "docs/how-to/write-a-worker.md").read_text()
    assert f"```python\n{(ROOT / 'examples/worker.py').read_text()}```" in page


@pytest.mark.parametrize("page", RUNNABLE)
def test_runnable_blocks_run(page: str, tmp_path: Path) -> None:
    """The blocks marked runnable, in their order and in one shell, end with answers."""
    shown = run_blocks((ROOT / page).read_text(), tmp_path)
    assert re.search(r"^(q1|first)  (small|large)  200  0\.\d+  Write a haiku", shown, re.MULTILINE)


def test_the_example_worker_answers(tmp_path: Path) -> None:
    """The README's run ends with an answer of examples/worker.py too, in place of our worker."""
    ours = "sluice work small large --echo --log-level warning"
    text = (ROOT / "README.md").read_text()
    assert ours in text
    example = "(python examples/worker.py small & python examples/worker.py large)"
    # It ends at once, by the signal, which `wait` would take for a failure.
    shown = run_blocks(text.replace(ours, example).replace("wait %3", "true"), tmp_path)
    assert re.search(
        r"^q1  (small|large)  200  0\.\d+  You said: Write a haiku", shown, re.MULTILINE
    )


def run_blocks(text: str, tmp_path: Path) -> str:
    """Run the blocks of a page in a copy of the project. Returns what they have printed."""
    copy = tmp_path / "sluice"
    left_out = shutil.ignore_patterns(".*", "site", "tests", "benchmarks", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=left_out)
    script = "".join(_BLOCK.findall(text))
    assert "make venv" in script
    assert "sluice results --follow" in script
    # The environment of the tests stands for the one that `make venv` makes.
    script = re.sub(r"make venv( && |\n)\. \.venv/bin/activate", "true", script)
    environment = {name: v for name, v in os.environ.items() if not name.startswith("SLUICE_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    output = tmp_path / "output"
    with (
        output.open("wb") as out,
        subprocess.Popen(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=copy,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,  # a pipe would wait for background processes too
            stderr=out,
            start_new_session=True,
        ) as shell,
    ):
        try:
            shell.wait(A_PAGE)
        finally:
            _end(shell.pid)
    shown = output.read_text()
    assert shell.returncode == 0, shown
    return shown


def _end(group: int) -> None:
    """Kill what a block has left behind."""
    try:
        os.killpg(group, 9)
    except ProcessLookupError:
        return
