"""What an HTTP header can carry, and API keys, which travel in one."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.invalid import Invalid


def is_sendable(text: str) -> bool:
    """Return whether an HTTP header can carry a text: printable ASCII, and no line break."""
    return text.isascii() and text.isprintable()


def api_key(variable: str, environment: Mapping[str, str]) -> str | None:
    """Return the API key that a variable holds; None for an empty one.

    Raises:
        Invalid: It holds what no key has and no header can carry.
    """
    key = environment.get(variable, "").strip()  # files end in a line break
    if not is_sendable(key):
        rule = f"the environment variable {variable} must hold printable ASCII only: copy it again"
        raise Invalid("invalid_field", rule, variable)
    return key or None
