"""Topic `control`: what an operator changes at run time."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from schemas.fields import MediaTokens, Name, Nano, NanoPerMillion, Score, Tokens, UnixTime, Window
from schemas.invalid import missing, wrong
from schemas.wire import Message, Versioned, decode

DEAREST = 2**62
"""Nano-unit millionths. The cost of an answer is worked out in 64 bits, on arrays."""

ADD_NEEDS = ("input_price", "output_price", "limit")
"""What a model that is added must have."""


class ModelServer(Message, frozen=True, kw_only=True):
    """How workers call a model that was added: as the keys of its section in a configuration.

    Attributes:
        name: As the server calls the model.
        base_url: The server's address.
        api_key_env: Variable of a worker's environment that holds the API key.
        timeout: Seconds for one call.
        concurrency: Calls at a time.
        max_tokens_field: Name under which the server takes the limit of output tokens.
        extra_body: Fields added to every body.
        extra_headers: Headers added to every call; ${NAME} stands for a variable of a worker's
            environment.
    """

    name: Name | None = None
    base_url: Annotated[str, Meta(pattern=r"^https?://", max_length=2048)] | None = None
    api_key_env: Name | None = None
    timeout: Annotated[float, Meta(gt=0, le=1e9)] = 120.0
    concurrency: Annotated[int, Meta(ge=1, le=10_000)] = 16
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra_body: dict[str, Any] = msgspec.field(default_factory=dict)
    extra_headers: dict[Name, str] = msgspec.field(default_factory=dict)


class ModelControl(Versioned, frozen=True, kw_only=True, tag_field="kind", tag="model"):
    """Add, remove, pause or resume a model. All but `name` and `action` is for `add` alone.

    Attributes:
        name: The model.
        action: `add` needs both prices and a limit.
        input_price: Nano-units per million input tokens.
        output_price: Nano-units per million output tokens.
        max_output_tokens: The longest answer.
        context: Tokens of prompt and answer together.
        cached_input_price: Nano-units per million input tokens that come from a cache.
        image_tokens: Reserved for each image; the model takes none where it is left out.
        audio_tokens: Reserved for each audio part; it takes none where it is left out.
        allow_fields: Fields of a body that it takes though they may change the price.
        limit: Nano-units in one window.
        window: Period of the limit.
        start: Unix seconds at which the first window begins.
        time_zone: IANA name; windows begin by its calendar.
        carry_over: Whether unspent money may be spent in the next window.
        retry_uncertain: Calls beyond the first that may be billed for one answer.
        server: How workers call it.
    """

    name: Name
    action: Literal["add", "remove", "pause", "resume"]
    input_price: NanoPerMillion | None = None
    output_price: NanoPerMillion | None = None
    max_output_tokens: Tokens = 4096
    context: Tokens = 128_000
    cached_input_price: NanoPerMillion | None = None
    image_tokens: MediaTokens | None = None
    audio_tokens: MediaTokens | None = None
    allow_fields: list[Name] = msgspec.field(default_factory=list)
    limit: Nano | None = None
    window: Window = "none"
    start: UnixTime | None = None
    time_zone: str = "UTC"
    carry_over: bool = False
    retry_uncertain: Annotated[int, Meta(ge=0, le=10)] = 0
    server: ModelServer | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.action == "add":
            for field in ADD_NEEDS:
                if getattr(self, field) is None:
                    raise missing(field, "a model that is added must have prices and a limit")
            check_time_zone(self.time_zone)
        prices = self.input_price or 0, self.output_price or 0
        check_prices(*prices, self.max_output_tokens, self.context, self.cached_input_price)


class BudgetControl(Versioned, frozen=True, kw_only=True, tag_field="kind", tag="budget"):
    """Set a model's limit, for one tenant or for all.

    Attributes:
        model: The model.
        limit: Nano-units in one window.
        window: Period of the limit.
        tenant: Whose limit; of all where left out.
        start: Unix seconds at which the first window begins.
    """

    model: Name
    limit: Nano
    window: Window = "none"
    tenant: Name | None = None
    start: UnixTime | None = None


class FloorControl(Versioned, frozen=True, kw_only=True, tag_field="kind", tag="floor"):
    """Set a quality floor, for one tenant or for all that have none of their own.

    Attributes:
        floor: Mean score to reach; as configured where left out.
        tenant: Whose floor; the usual one where left out.
    """

    floor: Score | None = None
    tenant: Name | None = None


Control = ModelControl | BudgetControl | FloorControl


def control_key(message: Control) -> str:
    """The key of a message: of those with one key, compaction keeps the last.

    What a model is (`add`) and whether it takes queries (the other actions) are kept apart.
    """
    if isinstance(message, BudgetControl):
        return f"budget/{message.model}" + (f"\t{message.tenant}" if message.tenant else "")
    if isinstance(message, FloorControl):
        return "floor/" + (message.tenant or "")
    return f"{'add' if message.action == 'add' else 'model'}/{message.name}"


def decode_control(data: bytes | None) -> Control:
    """Read one control message of any kind. Raises Invalid."""
    return cast(Control, decode(cast(Any, Control), data))


def check_time_zone(name: str) -> None:
    """Raise Invalid for what is not the IANA name of a time zone."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # what zoneinfo raises for no such name
        raise wrong("time_zone", name, "it must be an IANA name") from None


def check_prices(
    input_price: int,
    output_price: int,
    output_tokens: int,
    context: int,
    cached_input_price: int | None = None,
) -> None:
    """Raise Invalid where a model's longest answer costs more than can be worked out.

    Nor may cached input be dearer than other input: a reservation would not cover it.
    """
    if cached_input_price is not None and cached_input_price > input_price:
        rule = "it must be at most input_price, by which money is reserved"
        raise wrong("cached_input_price", cached_input_price, rule)
    if input_price * context + output_price * output_tokens > DEAREST:
        rule = "with context and max_output_tokens the longest answer must cost below 4.6e12"
        raise wrong("output_price", output_price, f"{rule} nano-units")
