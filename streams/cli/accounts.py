"""Helpers of `sluice model` and `sluice budget`: known models, and the table of accounts."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from router.budget.ledger import account_words, owner
from schemas.fields import NANO
from streams.config.settings import Config


def table(config: Config, tenants: bool = True) -> None:
    """Print the status of every model, and of tenants too, in units of currency."""
    from streams.control.commands import account_statuses

    shown = Table("model", "status")
    for column in ("limit", "spent", "reserved", "left"):
        shown.add_column(column, justify="right")
    for name, now in account_statuses(config).items():
        if owner(name)[1] is not None and not tenants:
            continue
        amounts = (now.limit, now.spent, now.reserved, now.left)
        words = (f"{amount / NANO:,.6f}" for amount in amounts)
        status = now.status if now.trial is None else f"{now.status}, tries {now.trial / NANO:,.6f}"
        shown.add_row(account_words(name), status, *words)
    Console().print(shown)


def check_known(config: Config, name: str) -> None:
    """Raise ClickException for a model that neither the configuration has nor a command added."""
    if name in config.models:
        return
    from streams.control.commands import read_registry

    known = [*config.models, *read_registry(config).added]
    if name not in known:
        raise click.ClickException(f"no model {name!r}; there are: {', '.join(known)}")
