"""Addresses, headers and keys of model servers: what no call could be made with is refused."""

from __future__ import annotations

import pytest

from schemas.invalid import Invalid
from streams.config.servers import check_address, check_headers


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "http://127.0.0.1:8000/v1",
        "https://api.example.com/v1/",
        "http://[::1]:8000/v1",
        "https://x.example.com/openai/deployments/d?api-version=2024-10-21",
        "http://model",
    ],
)
def test_addresses(url: str | None) -> None:
    """Of any server, with or without a port, a path or a query string."""
    check_address("base_url", url)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("localhost:8000/v1", "such as http"),
        ("127.0.0.1:8000", "such as http"),
        ("ftp://x/v1", "such as http"),
        ("http:///v1", "such as http"),
        ("http://[::1/v1", "such as http"),
        ("http://x:port/v1", "such as http"),
        ("http://x:99999/v1", "such as http"),
        (" http://x/v1", "such as http"),
        ("http://x/v1\n", "such as http"),
        ("http://x/v\u200b1", "such as http"),
        ("http://x/v1/chat/completions", "end before /chat/completions"),
    ],
)
def test_what_is_no_address(url: str, rule: str) -> None:
    """The error names the setting, and what is expected."""
    with pytest.raises(Invalid, match=rf"base_url: found a string, .*{rule}"):
        check_address("base_url", url)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"X Y": "a"}, "extra_headers.'X Y': .*no name of an HTTP header"),
        ({"": "a"}, "extra_headers.'': .*no name of an HTTP header"),
        ({"X-Team": "a\n"}, "extra_headers.X-Team: .*no line break"),
        ({"X-Team": "\u00e9"}, "extra_headers.X-Team: .*printable ASCII"),
    ],
)
def test_headers_that_cannot_be_sent(headers: dict[str, str], words: str) -> None:
    """The error names the header."""
    check_headers("extra_headers", {"X-Team": "a b", "api-key": ""})
    with pytest.raises(Invalid, match=words):
        check_headers("extra_headers", headers)
