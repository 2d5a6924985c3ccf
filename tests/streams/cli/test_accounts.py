"""Which models commands know, and how their money is shown."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from streams.cli.accounts import check_known, show_accounts
from streams.config.settings import load


def test_a_configured_model_asks_no_broker(config: Path) -> None:
    """The file is enough."""
    check_known(load(config, {"SLUICE_BROKER": "127.0.0.1:9"}), "small")


def test_other_models_are_looked_up(deployed: Path) -> None:
    """Where no command added it either, the error names what there is."""
    with pytest.raises(click.ClickException, match="no model 'huge'; there are: small, large"):
        check_known(load(deployed), "huge")


@pytest.mark.parametrize(("tenants", "rows"), [(True, 3), (False, 2)])
def test_tenants_can_be_left_out(
    deployed: Path, capsys: pytest.CaptureFixture[str], tenants: bool, rows: int
) -> None:
    """A row for every model, and for every tenant's limit."""
    show_accounts(load(deployed), None, tenants=tenants)
    assert capsys.readouterr().out.count("open") == rows


@pytest.mark.parametrize("columns", ["0", "20", "80"])
def test_no_amount_is_cut(
    deployed: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: str,
) -> None:
    """However narrow a terminal the environment tells of: a part of a number is another number."""
    monkeypatch.setenv("COLUMNS", columns)
    show_accounts(load(deployed), None)
    shown = capsys.readouterr().out
    assert all(amount in shown for amount in ("1.000000", "0.500000", "2.000000"))
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown
