"""How model servers are reached: what is checked of their addresses, headers and API keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from schemas.invalid import Invalid, wrong

ENDPOINT = "/chat/completions"
"""What workers put behind an address themselves."""
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def check_address(key: str, url: str | None) -> None:
    """Raise Invalid for what is no address of a server: workers would wait for it for ever.

    Args:
        key: Of the setting.
        url: The address; None or "" where there is none, as `${NAME:-}` may leave it.
    """
    if not url:
        return
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # such as a port that is no number
        is_one = False
    if not is_one or not _is_sendable(url) or " " in url:
        raise wrong(key, url, "it must be an address such as http://127.0.0.1:8000/v1")
    if parts.path.rstrip("/").endswith(ENDPOINT):
        raise wrong(key, url, f"it must end before {ENDPOINT}, which is put behind it")


def check_headers(key: str, headers: Mapping[str, str]) -> None:
    """Raise Invalid for headers that HTTP cannot carry: no call could be made with them."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise wrong(f"{key}.{name!r}", name, "it is no name of an HTTP header")
        if not _is_sendable(value):
            rule = "it must hold printable ASCII only, and no line break at its end"
            raise wrong(f"{key}.{name}", value, rule)


def api_key(variable: str, environment: Mapping[str, str]) -> str | None:
    """Return the API key that a variable holds; None for an empty one.

    Raises:
        Invalid: It holds what no key has and no header can carry.
    """
    key = environment.get(variable, "").strip()  # files end in a line break
    if not _is_sendable(key):
        rule = f"the environment variable {variable} must hold printable ASCII only: copy it again"
        raise Invalid("invalid_field", rule, variable)
    return key or None


def _is_sendable(text: str) -> bool:
    return text.isascii() and text.isprintable()
