"""What is installed is what was written: the wheel, its command, its data."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("router", "schemas", "streams")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built from a copy so that the tree stays clean."""
    source = tmp_path_factory.mktemp("source")
    for name in (*PACKAGES, "pyproject.toml", "README.md", "LICENSE"):
        subprocess.run(["cp", "-R", str(ROOT / name), str(source)], check=True)
    out = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check"]
    # The build back end is a dependency of the tests, so nothing is downloaded here.
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "-w", str(out), str(source)], check=True
    )
    [built] = out.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content, as pip would lay it out."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def python(installed: Path, script: str) -> str:
    """Run a script that finds the wheel's modules first, far from the source tree."""
    shown = subprocess.run(
        [sys.executable, "-c", script],
        cwd=installed.parent,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    return shown.stdout


def modules() -> list[str]:
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


def test_the_wheel_holds_every_module_and_no_other(wheel: Path) -> None:
    """A new folder of modules cannot be forgotten, and tests are not shipped."""
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name for name in shipped if name.endswith(".py")} == set(modules())
    page = (ROOT / "streams/page/static").iterdir()
    data = {"streams/brokers/pom.xml", *(f"{package}/py.typed" for package in PACKAGES)}
    data |= {file.relative_to(ROOT).as_posix() for file in page}
    assert {name for name in shipped if not name.endswith(".py")} == data


def test_the_wheel_carries_the_licence(wheel: Path) -> None:
    """Apache-2.0 asks for its text to come along."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/LICENSE")]
        assert b"Apache License" in archive.read(name)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_from_the_wheel(installed: Path, package: str) -> None:
    """The three packages are importable, and it is the wheel's that are."""
    shown = python(installed, f"import {package}; print({package}.__file__)")
    assert Path(shown.strip()).is_relative_to(installed)


def test_the_command_runs_from_the_wheel(installed: Path) -> None:
    """`sluice` starts, and finds the data that it was shipped with."""
    target = PROJECT["project"]["scripts"]["sluice"]
    module, _, name = target.partition(":")
    script = (
        f"from {module} import {name} as main\n"
        "from streams.brokers import jars\n"
        "print(jars.POM.is_file())\n"
        "main(['--version'])"
    )
    shown = python(installed, script)
    assert shown.splitlines() == ["True", f"sluice {PROJECT['project']['version']}"]


def test_entry_points_exist(installed: Path) -> None:
    """Faust finds the transport that the wheel declares."""
    groups = PROJECT["project"]["entry-points"]
    assert "faust.transports" in groups
    for group in groups.values():
        for target in group.values():
            module, _, name = target.partition(":")
            python(installed, f"from {module} import {name}")


def test_torch_is_not_among_the_dependencies() -> None:
    """Tests and CI do without gigabytes: what needs torch is an extra of its own."""
    project = PROJECT["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert not [name for name in wanted if "torch" in name or "sentence" in name or "gt-" in name]
