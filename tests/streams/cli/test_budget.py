"""`sluice budget`: limits at run time, of models and of tenants."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import run


def rows(config: Path) -> dict[str, list[str]]:
    """By account, the columns of `sluice budget show`."""
    code, stdout, stderr = run("budget", "show", "-c", config)
    assert code == 0, stderr
    lines = [line.strip("│").split("│") for line in stdout.splitlines() if line.startswith("│")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_limits_of_the_file_are_shown(deployed: Path) -> None:
    """Every model, and each tenant's limit after its model."""
    shown = rows(deployed)
    assert [name.split()[0] for name in shown] == ["small", "small", "large"]
    assert shown["small"] == ["open", "1.000000", "0.000000", "0.000000", "1.000000"]
    assert shown["large"] == ["open", "2.000000", "0.000000", "0.000000", "2.000000"]


def test_a_limit_is_set_and_topped_up(deployed: Path) -> None:
    """What was ordered is what is shown; other accounts stay as they were."""
    before = rows(deployed)
    assert run("budget", "set", "small", "3.5", "-c", deployed)[1] == "small: limit 3.500000000\n"
    assert run("budget", "top-up", "small", "0.25", "-c", deployed)[0] == 0
    after = rows(deployed)
    assert after.pop("small")[1] == "3.750000"
    before.pop("small")
    assert after == before


def test_a_tenant_s_limit_is_its_own(deployed: Path) -> None:
    """It changes without the model's; one without a limit has nothing to add to."""
    code, _, stderr = run("budget", "top-up", "small", "1", "--tenant", "shop", "-c", deployed)
    assert code == 0, stderr
    shown = rows(deployed)
    assert shown["small"][1] == "1.000000"
    assert [cells[1] for cells in shown.values()] == ["1.000000", "1.500000", "2.000000"]
    code, _, stderr = run("budget", "top-up", "large", "1", "--tenant", "shop", "-c", deployed)
    assert code == 1
    assert "has no limit to add to: set one" in stderr


def test_an_unknown_model_is_refused(deployed: Path) -> None:
    """The models there are are named."""
    for command in ("set", "top-up"):
        code, _, stderr = run("budget", command, "huge", "1", "-c", deployed)
        assert code == 1
        assert "no model or limit 'huge'; there are: small, large" in stderr


def test_rows_as_json(deployed: Path, tmp_path: Path) -> None:
    """Amounts are in units of currency; without a file standard output holds nothing else."""
    code, stdout, _ = run("budget", "show", "--json", "-c", deployed)
    assert code == 0
    shown = json.loads(stdout)
    assert [(row["name"], row["model"], row["tenant"]) for row in shown] == [
        ("small", "small", None),
        ("small", "small", "shop"),
        ("large", "large", None),
    ]
    assert shown[1] == {
        "name": "small",
        "model": "small",
        "tenant": "shop",
        "status": "open",
        "unit": "currency",
        "limit": 0.5,
        "spent": 0.0,
        "reserved": 0.0,
        "left": 0.5,
        "trial": None,
    }
    file = tmp_path / "rows.json"
    code, stdout, _ = run("budget", "show", "-c", deployed, "--json", file)
    assert (code, json.loads(file.read_text())) == (0, shown)
    assert "large" in stdout


@pytest.mark.parametrize(
    ("limit", "status"),
    [("0", "spent"), ("0.000000299", "spent"), ("0.0000003", "low"), ("0.0009", "open")],
)
def test_a_spent_model_is_not_open(deployed: Path, limit: str, status: str) -> None:
    """One token in and out cost 300 nano-units; an answer of 4,096 tokens costs 819,300."""
    assert run("budget", "set", "small", limit, "-c", deployed)[0] == 0
    assert rows(deployed)["small"][0] == status
