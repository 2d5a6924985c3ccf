"""How model servers are reached: what is checked of their addresses and headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from schemas.invalid import wrong
from schemas.sendable import is_sendable

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
    if not is_one or not is_sendable(url) or " " in url:
        raise wrong(key, url, "it must be an address such as http://127.0.0.1:8000/v1")
    if parts.path.rstrip("/").endswith(ENDPOINT):
        raise wrong(key, url, f"it must end before {ENDPOINT}, which is put behind it")


def check_headers(key: str, headers: Mapping[str, str]) -> None:
    """Raise Invalid for headers that HTTP cannot carry: no call could be made with them."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise wrong(f"{key}.{name!r}", name, "it is no name of an HTTP header")
        if not is_sendable(value):
            rule = "it must hold printable ASCII only, and no line break at its end"
            raise wrong(f"{key}.{name}", value, rule)
