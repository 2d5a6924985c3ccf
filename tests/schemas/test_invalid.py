"""Why a message was refused, in words for a person."""

from __future__ import annotations

import pytest

from schemas import (
    BudgetControl,
)
from schemas.wire import MAX_BYTES
from tests.schemas.refusals import GOOD, refusal, with_field


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (None, "empty", "found no bytes"),
        (b"", "empty", "found no bytes"),
        (b" \n", "empty", "found no bytes"),
        (b"x" * (MAX_BYTES + 1), "too_large", f"{MAX_BYTES + 1} bytes, at most {MAX_BYTES}"),
        (b"nope", "invalid_json", "not JSON: invalid character (byte"),
        (b'{"id":', "invalid_json", "breaks off, after 6 bytes"),
        (GOOD + b" x", "invalid_json", "trailing characters"),
        (b"\xef\xbb\xbf" + GOOD, "invalid_json", "not JSON"),
        (GOOD.decode().encode("utf-16"), "invalid_json", "not UTF-8"),
        (b"[]", "invalid_json", "found an array, it must be an object"),
        (b"null", "invalid_json", "found null, it must be an object"),
        (b'{"id":"a","prompt":"\xff"}', "invalid_json", "byte 0xff at position 20"),
        (with_field(b'"unknown":"\xff"'), "invalid_json", "byte 0xff"),
        (b'{"id":"a","prompt":"\\ud800"}', "invalid_json", "half of a surrogate pair"),
        (b'{"id":"a","prompt":"\\udc00x"}', "invalid_json", "surrogate pair"),
        (with_field(b'"id":"b"'), "invalid_json", "id: given twice"),
        (with_field(b'"\\u0069d":"b"'), "invalid_json", "id: given twice"),
        (with_field(b'"max_cost":NaN'), "invalid_json", "not JSON"),
        (with_field(b'"deadline":Infinity'), "invalid_json", "not JSON"),
        (with_field(b'"deadline":1e999'), "invalid_field", "deadline: found a number, it is too"),
        (with_field(b'"max_cost":' + b"9" * 5000), "invalid_field", "it is too large"),
        (with_field(b'"max_cost":' + b"9" * 30), "invalid_field", "at most 9223372036854775807"),
        (with_field(b'"x":' + b"[" * 100_000), "invalid_json", "nested too deeply"),
        (with_field(b'"x":' + b'{"x":' * 900 + b"1" + b"}" * 900), "invalid_json", "nested"),
        (b"{}", "missing_field", "id: found nothing, it is required"),
        (b'{"id":5}', "invalid_field", "id: found an integer, it must be a string"),
        (b'{"id":""}', "invalid_field", "id: found a string, its length must be at least 1"),
    ],
)
def test_refusals(data: bytes | None, code: str, words: str) -> None:
    """Each way of being wrong has its code, and a reason that tells a person what to mend."""
    error = refusal(data)
    assert error.code == code
    assert words in error.reason


def test_reasons_never_hold_the_value() -> None:
    """What a sender wrote does not travel into logs by way of a reason."""
    error = refusal(b'{"kind":"budget","model":"m","limit":1,"window":"s3cret"}', BudgetControl)
    assert "s3cret" not in error.reason
    assert error.reason.endswith("it must be one of: day, hour, minute, month, none")
