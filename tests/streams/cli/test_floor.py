"""`sluice floor`: floors at run time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import run


@pytest.fixture
def keeping(deployed: Path) -> Path:
    """A deployment whose policy keeps floors."""
    text = deployed.read_text().replace("[policy]", '[policy]\nname = "quality-floor"')
    deployed.write_text(text + "[tenants.bank]\nfloor = 0.9\n")
    return deployed


def shown(config: Path) -> str:
    code, stdout, stderr = run("floor", "show", "-c", config)
    assert code == 0, stderr
    return stdout


def test_floors_are_set_and_reset(keeping: Path) -> None:
    """A tenant's apart from the usual one; after a reset the configured ones are in force."""
    assert shown(keeping) == "usual\t0.8\nbank\t0.9\n"
    assert run("floor", "set", "0.75", "-c", keeping)[1] == "usual: floor 0.75\n"
    told = run("floor", "set", "0.5", "--tenant", "shop", "-c", keeping)
    assert told[1] == "tenant shop: floor 0.5\n"
    assert shown(keeping) == "usual\t0.75\nbank\t0.9\nshop\t0.5\n"
    assert run("floor", "reset", "-c", keeping)[1] == "usual: floor as configured\n"
    assert run("floor", "reset", "--tenant", "shop", "-c", keeping)[0] == 0
    assert shown(keeping) == "usual\t0.8\nbank\t0.9\n"


def test_a_policy_without_floors_takes_none(deployed: Path) -> None:
    """Nor is anything beside 0 to 1 a floor."""
    for command in (["show"], ["set", "0.5"], ["reset"]):
        code, _, stderr = run("floor", *command, "-c", deployed)
        assert code == 1
        assert "keeps no floors" in stderr
    assert run("floor", "set", "1.5", "-c", deployed)[0] == 2
