"""What an HTTP header can carry."""

from __future__ import annotations

import pytest

from schemas.invalid import Invalid
from schemas.sendable import api_key, is_sendable


def test_what_a_header_carries() -> None:
    """Printable ASCII; a line break would begin another header."""
    texts = ("", "a b", "a\n", "\u00e9")
    assert [is_sendable(text) for text in texts] == [True, True, False, False]


def test_api_keys() -> None:
    """Blanks around a key are none of it; one that cannot be sent is named, and not shown."""
    environment = {"A": " sk-1\n", "B": "", "C": "sk-\u200bsecret"}
    assert [api_key(name, environment) for name in ("A", "B", "D")] == ["sk-1", None, None]
    with pytest.raises(Invalid, match="variable C must hold printable ASCII") as caught:
        api_key("C", environment)
    assert "secret" not in caught.value.reason
