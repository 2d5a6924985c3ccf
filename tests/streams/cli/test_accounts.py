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
