"""`sluice key`: API keys of `sluice serve`."""

from __future__ import annotations

import click
import msgspec
import orjson

from schemas.invalid import explain
from streams.config.serve import ServeSettings
from streams.serve.keys import hashed, new_key


@click.group()
def group() -> None:
    """Make API keys for `sluice serve`."""


@group.command()
@click.argument("name")
@click.option("--tenant", help="On whose behalf its requests are sent. [default: they may say]")
def new(name: str, tenant: str | None) -> None:
    """Make a key, and print what the configuration needs.

    The key itself is printed once, to standard error; nothing keeps it. Its hash goes to standard
    output, as a section for sluice.toml: sluice key new shop --tenant shop >> sluice.toml
    """
    key = new_key()
    try:  # what is printed must be a section that can be used
        section = {"hash": hashed(key), "tenant": tenant}
        msgspec.convert({"keys": {name: section}}, ServeSettings)
    except msgspec.ValidationError as error:
        raise click.BadParameter(explain(error, ServeSettings, b"").reason) from None
    click.echo(f"the key, shown only now: {key}", err=True)
    click.echo(f"\n[serve.keys.{_quoted(name)}]\nhash = {_quoted(hashed(key))}")
    if tenant is not None:
        click.echo(f"tenant = {_quoted(tenant)}")


def _quoted(text: str) -> str:
    """A TOML string: JSON's are."""
    return orjson.dumps(text).decode()
