"""The code stays where a newcomer looks for it, in files, functions and classes of bounded size.

`make lint` runs these checks. Import directions are contracts of import-linter (`.importlinter`).
The sets of exceptions below name what does not hold yet. They only shrink.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PRODUCT = ("schemas", "router", "streams")
SOURCES = (*PRODUCT, "benchmarks", "tests")

FILE_LINES, FUNCTION_LINES, CLASS_LINES, CLASS_ATTRIBUTES = 400, 50, 200, 12
SIZE_REASON = "Size:"
"""A class may exceed the limits if a line of its docstring starts with this and says why."""

SUITES: dict[str, str] = {
    "router/estimation/embedders/": "tests/router/estimation/test_embedders.py",
    "router/estimation/index/": "tests/router/estimation/test_index.py",
    "router/evaluation/loaders/": "tests/router/evaluation/test_loaders.py",
    "router/policies/": "tests/router/policies/test_policies.py",
    "streams/brokers/": "tests/streams/brokers/test_brokers.py",
    "streams/worker/backends/": "tests/streams/worker/test_backends.py",
}
"""Modules that one parametrised suite tests, as they promise the same: a prefix, and the suite."""

LONG_FUNCTIONS: set[str] = {
    "tests/e2e/test_control.py:test_orders",
    "tests/e2e/test_index_swap.py:test_learning_from_the_log",
    "tests/e2e/test_replay.py:test_the_same_again",
    "tests/e2e/test_tenants.py:test_tenants_that_wait_do_not_starve_one_another",
    "tests/router/budget/test_shares.py:test_a_long_life",
}
LARGE_CLASSES: set[str] = {
    "router/budget/ledger.py:Ledger",
    "tests/support/system.py:System",
}


@cache
def parsed(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text())


def files(*packages: str) -> list[str]:
    """Paths of all Python files in packages, relative to the root."""
    found = (path for package in packages for path in (ROOT / package).rglob("*.py"))
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def has_logic(file: str) -> bool:
    """Whether a module defines a function or a method beyond those with a meaning to Python."""
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("__")
        for node in ast.walk(parsed(file))
    )


def own_test(file: str) -> str:
    """Where the tests of a module stand: `router/a/b.py` has `tests/router/a/test_b.py`."""
    path = Path(file)
    name = path.parent.name if path.stem.startswith("__") else path.stem
    return f"tests/{path.parent.as_posix()}/test_{name}.py"


def without_tests() -> set[str]:
    """Modules with logic that have neither a test file of their own nor a suite."""
    return {
        file
        for file in files(*PRODUCT)
        if has_logic(file)
        and not (ROOT / own_test(file)).is_file()
        and not any(file.startswith(prefix) for prefix in SUITES)
    }


def lines(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def long_functions() -> set[str]:
    return {
        f"{file}:{node.name}"
        for file in files(*SOURCES)
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines(node) > FUNCTION_LINES
    }


def attributes(node: ast.ClassDef) -> set[str]:
    """Names that the methods of a class assign on `self`."""
    return {
        inner.attr
        for inner in ast.walk(node)
        if isinstance(inner, ast.Attribute)
        and isinstance(inner.ctx, ast.Store)
        and isinstance(inner.value, ast.Name)
        and inner.value.id == "self"
    }


def says_why(node: ast.ClassDef) -> bool:
    stated = (ast.get_docstring(node) or "").splitlines()
    return any(line.strip().startswith(SIZE_REASON) for line in stated)


def large_classes() -> set[str]:
    """Classes beyond the limits. Records (fields only) may have as many fields as they need."""
    return {
        f"{file}:{node.name}"
        for file in files(*PRODUCT, "benchmarks", "tests/support")
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.ClassDef)
        and (lines(node) > CLASS_LINES or len(attributes(node)) > CLASS_ATTRIBUTES)
        and not says_why(node)
    }


def pins() -> dict[str, str]:
    """Name to version of every package in the lock."""
    found: dict[str, str] = {}
    for line in (ROOT / "requirements-dev.lock").read_text().splitlines():
        if line and not line.lstrip().startswith("#"):
            name, _, version = line.partition(";")[0].strip().partition("==")
            found[canonicalize_name(name)] = version
    return found


def project() -> dict[str, object]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert isinstance(table, dict)
    return table


def steps() -> Iterator[dict[str, object]]:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    for job in workflow["jobs"].values():
        yield from job["steps"]


class TestLayout:
    def test_packages_hold_packages(self) -> None:
        """A module belongs to a sub-package: at most one that everything uses stands beside it."""
        for package in ("streams", "router"):
            beside = {path.name for path in (ROOT / package).glob("*.py")} - {"__init__.py"}
            assert len(beside) <= 1, (package, beside)

    def test_every_module_with_logic_has_tests_of_its_own(self) -> None:
        """Tests mirror the packages, so that whoever changes a module finds its tests."""
        assert without_tests() == set(), "add a test file, named as own_test() says"

    def test_suites_exist(self) -> None:
        """A suite that stands for several modules is there, and so are the modules."""
        for prefix, suite in SUITES.items():
            assert (ROOT / suite).is_file(), suite
            assert [file for file in files(*PRODUCT) if file.startswith(prefix)], prefix


class TestSize:
    def test_files(self) -> None:
        """One idea a file."""
        counts = {file: (ROOT / file).read_text().count("\n") for file in files(*SOURCES)}
        assert {file: n for file, n in counts.items() if n > FILE_LINES} == {}

    def test_functions(self) -> None:
        """A function fits on a screen."""
        assert long_functions() <= LONG_FUNCTIONS

    def test_classes(self) -> None:
        """A class has one reason to change, or its docstring says why it has not."""
        assert large_classes() <= LARGE_CLASSES


class TestHabits:
    def test_the_lock_has_what_the_project_asks_for(self) -> None:
        """`make lock` was run after a dependency was added or bounded."""
        table, locked = project(), pins()
        extras = table["optional-dependencies"]
        assert isinstance(extras, dict)
        wanted = table["dependencies"]
        assert isinstance(wanted, list)
        for extra in {"dev", "docs", "release"} & extras.keys():
            wanted = wanted + extras[extra]
        for requirement in map(Requirement, wanted):
            if requirement.name != "sluice-llm":
                version = locked.get(canonicalize_name(requirement.name), "")
                assert requirement.specifier.contains(version, prereleases=True), requirement

    def test_hosted_ci_runs_the_gate(self) -> None:
        """What is hosted runs `.ci/run` and nothing else, on every Python that is claimed."""
        assert [step["run"] for step in steps() if "run" in step] == [".ci/run"]
        workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
        claimed = project()["classifiers"]
        assert isinstance(claimed, list)
        for python in workflow["jobs"]["gate"]["strategy"]["matrix"]["python"]:
            assert f"Programming Language :: Python :: {python}" in claimed

    def test_every_package_is_typed(self) -> None:
        """Type checkers of whoever imports Sluice see its types."""
        assert all((ROOT / package / "py.typed").is_file() for package in PRODUCT)
