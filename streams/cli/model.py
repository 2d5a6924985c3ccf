"""`sluice model`: the models at run time."""

from __future__ import annotations

from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Any, get_args

import click
import orjson

from schemas import Window
from schemas.control import ModelControl, ModelServer
from streams.cli import options
from streams.cli.accounts import check_known, show_accounts
from streams.config.limits import to_nano
from streams.config.servers import check_address, check_headers
from streams.config.settings import Config, load

NAME = click.argument("name")


def _object(
    context: click.Context, option: click.Parameter, value: str | None
) -> dict[str, Any] | None:
    """Read a JSON object."""
    if value is None:
        return None
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise click.BadParameter(f'{value!r} is no JSON object, such as {{"top_k": 20}}')
    return found


def _headers(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> dict[str, str] | None:
    """Read NAME:VALUE pairs."""
    pairs = [value.partition(":") for value in values]
    for name, colon, _ in pairs:
        if not name.strip() or not colon:
            raise click.BadParameter(f"{name!r} is not NAME:VALUE")
    return {name.strip(): value.strip() for name, _, value in pairs} or None


_SERVER = (
    click.option("--name", "server_name", help="As its server calls it. [default: NAME]"),
    click.option("--base-url", help="Address of its server, such as https://HOST/v1."),
    click.option("--api-key-env", help="Variable of the workers' environment with the API key."),
    click.option("--timeout", type=options.Number(0, min_open=True), help="Seconds for a call."),
    click.option("--concurrency", type=click.IntRange(1, 10_000), help="Calls at a time."),
    click.option(
        "--max-tokens-field",
        type=click.Choice(["max_tokens", "max_completion_tokens"]),
        help="Under which its server takes the limit of output tokens.",
    ),
    click.option("--extra-body", callback=_object, help="JSON object added to every body."),
    click.option(
        "--extra-header",
        "extra_headers",
        multiple=True,
        callback=_headers,
        metavar="NAME:VALUE",
        help="Added to every call. Write secrets as ${VARIABLE} of the workers' environment: what "
        "a command says can be read in the topic control.",
    ),
)
"""What workers know of a model's server: options of `add`, fields of `ModelServer`."""


def _server_options(command: Any) -> Any:
    return reduce(lambda made, option: option(made), reversed(_SERVER), command)


def _server(values: dict[str, Any]) -> ModelServer | None:
    """Take the server's values out of those of all options; None where none is given."""
    named = {"name": "server_name"}
    fields = {field: values.pop(named.get(field, field)) for field in ModelServer.__struct_fields__}
    given = {field: value for field, value in fields.items() if value is not None}
    check_address("base_url", given.get("base_url"))
    check_headers("extra_headers", given.get("extra_headers") or {})
    return ModelServer(**given) if given else None


@click.group()
def group() -> None:
    """List the models; add, pause, resume or remove one."""


@group.command("list")
@options.config
@click.option("--all", "removed", is_flag=True, help="Also removed models with nothing reserved.")
@options.json_output("Write the rows to FILE, amounts in units of currency.")
def list_models(config_file: Path, removed: bool, json_out: Path | None) -> None:
    """Show every model: whether it takes queries, and its money.

    The statuses are those of `sluice budget show`. A removed model is listed until everything that
    was reserved for it has settled.
    """
    show_accounts(load(config_file), json_out, tenants=False, removed=removed)


@group.command(context_settings={"show_default": True})
@NAME
@click.option("--input-price", type=options.Amount(), required=True, help="Per million tokens.")
@click.option("--output-price", type=options.Amount(), required=True, help="Per million tokens.")
@click.option("--limit", type=options.Amount(), required=True, help="For one window.")
@click.option(
    "--window", type=click.Choice(get_args(Window)), default="none", help="Of that limit."
)
@click.option("--start", callback=options.moment, help="Of the first window (ISO 8601).")
@click.option("--time-zone", default="UTC", help="By whose calendar windows begin: an IANA name.")
@click.option("--carry-over", is_flag=True, help="Let a window leave its rest to the next one.")
@click.option("--max-output-tokens", default=4096, help="The longest answer.")
@click.option("--context", default=128_000, help="Tokens of prompt and answer together.")
@click.option("--cached-input-price", type=options.Amount(), help="Per million cached tokens.")
@click.option(
    "--image-tokens", type=click.IntRange(0), help="Reserved for an image. [default: takes none]"
)
@click.option(
    "--audio-tokens", type=click.IntRange(0), help="Reserved for an audio. [default: takes none]"
)
@click.option(
    "--allow-field",
    "allow_fields",
    multiple=True,
    help="A field of a body that it takes though it may change the price; may be repeated.",
)
@click.option(
    "--retry-uncertain",
    type=click.IntRange(0, 10),
    default=0,
    help="Calls beyond the first that may be billed for one answer, and are reserved for.",
)
@_server_options
@options.config
def add(
    name: str,
    input_price: Decimal,
    output_price: Decimal,
    limit: Decimal,
    cached_input_price: Decimal | None,
    config_file: Path,
    **terms: Any,
) -> None:
    """Add a model that the configuration does not have; start its workers with sluice work NAME.

    It has no history, so it is only tried, with a part of its limit ([newcomers]); to be more, it
    must be in sluice.toml and in the index that sluice index build makes.
    """
    from streams.control.commands import add_model

    config = load(config_file)
    try:
        message = ModelControl(
            name=name,
            action="add",
            input_price=to_nano("input_price", input_price),
            output_price=to_nano("output_price", output_price),
            limit=to_nano("limit", limit),
            cached_input_price=(
                None
                if cached_input_price is None
                else to_nano("cached_input_price", cached_input_price)
            ),
            server=_server(terms),
            allow_fields=list(terms.pop("allow_fields")),
            **terms,
        )
        add_model(config, message)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    tried = f"{config.newcomers.budget:.0%} of its limit"
    click.echo(f"{name}: added; it is tried with {tried} until an index knows it")


@group.command()
@NAME
@options.config
def pause(name: str, config_file: Path) -> None:
    """Send no new queries to a model. What is under way settles; queries for it alone wait."""
    _send(load(config_file), name, "pause")


@group.command()
@NAME
@options.config
def resume(name: str, config_file: Path) -> None:
    """Send queries to a paused or removed model again."""
    _send(load(config_file), name, "resume")


@group.command()
@NAME
@options.config
def remove(name: str, config_file: Path) -> None:
    """Remove a model for good: as `pause`; then delete it from sluice.toml."""
    _send(load(config_file), name, "remove")


def _send(config: Config, name: str, action: str) -> None:
    from streams.control.commands import send_command

    check_known(config, name)
    send_command(config, ModelControl(name=name, action=action))  # type: ignore[arg-type]  # see callers
    click.echo(f"{name}: {action}")
