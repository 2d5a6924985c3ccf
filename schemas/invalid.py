"""Why a message was refused, in words: one error class, and msgspec's messages put plainly."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from schemas.fields import NO_CONTROL

Code = Literal[
    "invalid_json",
    "missing_field",
    "invalid_field",
    "too_large",
    "empty",
    "unknown_model",
    "no_model_allowed",
    "context_too_long",
    "deadline_exceeded",
    "not_in_flight",
    "budget_exceeded",
    "invalid_embedding",
    "unknown_field",
    "field_not_allowed",
]


class Invalid(ValueError):
    """A message that cannot be accepted.

    code: one of `Code`; reason: a sentence for a person, never holding the value itself;
    field: the path of the field in question (`payload.messages[0].role`), or None.
    """

    def __init__(self, code: Code, reason: str, field: str | None = None) -> None:
        super().__init__(reason)
        self.code: Code = code
        self.reason = reason
        self.field = field


def wrong(field: str, found: object, rule: str, code: Code = "invalid_field") -> Invalid:
    """The error for a decoded value that breaks a rule: names field, the value's type, rule."""
    return Invalid(code, f"{field}: found {_an(_json_type(found))}, {rule}", field)


def missing(field: str, rule: str = "it is required") -> Invalid:
    """The error for a field that is not there."""
    return Invalid("missing_field", f"{field}: found nothing, {rule}", field)


def explain(error: Exception, kind: Any, data: bytes) -> Invalid:
    """Turn what msgspec raised while it decoded `data` as a `kind` into an `Invalid`."""
    if isinstance(error.__cause__, Invalid):  # raised by a message's own __post_init__
        return error.__cause__
    if isinstance(error, msgspec.ValidationError):
        return _explain_value(str(error), kind)
    if isinstance(error, UnicodeDecodeError):
        byte, rule = error.object[error.start], error.reason
        where = f"byte 0x{byte:02x} at position {error.start} of the text"
        return Invalid("invalid_json", f"not UTF-8: {where} ({rule})")
    if isinstance(error, RecursionError):
        return too_deep()
    if "truncated" in str(error):
        half = " or holds half of a surrogate pair," if _SURROGATE.search(data) else ""
        return Invalid(
            "invalid_json", f"not JSON: the text breaks off,{half} after {len(data)} bytes"
        )
    rule = str(error).removeprefix("JSON is malformed: ")
    return Invalid("invalid_json", f"not JSON: {rule}")


def too_deep() -> Invalid:
    """The error for arrays and objects nested without end."""
    return Invalid("invalid_json", "arrays and objects are nested too deeply")


_SURROGATE = re.compile(rb"\\u[dD][89abAB]")
_AT = re.compile(r" - at `(?P<key>key` in `)?(?:\$\.?)(?P<path>[^`]*)`$")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`")
_TYPE = re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<found>[^`]+)`")
_RULE = re.compile(r"Expected `(?P<found>[^`]+)` (?P<rule>.+)", re.DOTALL)
_JSON = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def _explain_value(text: str, kind: Any) -> Invalid:
    field, found, rule = "", "string", "it is not valid"
    if at := _AT.search(text):
        text = text[: at.start()]
        field = at["path"] + (" (a key)" if at["key"] else "")
    if match := _MISSING.fullmatch(text):
        return missing(f"{field}.{match['name']}" if field else match["name"])
    if match := _TYPE.fullmatch(text):
        found = _JSON.get(match["found"], match["found"])
        wanted = [_JSON.get(word, word) for word in match["wanted"].split(" | ")]
        rule = "it must be " + " or ".join(
            "left out" if word == "null" else _an(word) for word in wanted
        )
        if not field:
            return Invalid("invalid_json", f"the message: found {_an(found)}, {rule}")
    elif match := _RULE.fullmatch(text):
        found = _JSON.get(match["found"], match["found"])
        rule = _words(match["rule"]) + _description(kind, field)
    elif "out of range" in text:
        found, rule = "number", "it is too large"
    elif text.startswith("Invalid"):
        choices = _choices(kind, field)
        rule = f"it must be one of: {', '.join(choices)}" if choices else _lower(text)
        rule += ", or an array" if choices and _may_be_array(kind, field) else ""
    elif text == "Expected `str`":  # what msgspec says of a tag
        found, rule = "value of another type", "it must be a string"
    code: Code = "invalid_embedding" if field.startswith("embedding") else "invalid_field"
    return Invalid(code, f"{field}: found {_an(found)}, {rule}", field)


def _words(rule: str) -> str:
    if rule.startswith("matching regex"):
        known = rule == f"matching regex {NO_CONTROL!r}"
        return "it must not hold control characters" if known else f"it must be {rule}"
    subject = "its length" if rule.startswith("of length") else "it"
    rule = rule.removeprefix("of length ")
    for sign, words in ((">=", "at least"), ("<=", "at most"), (">", "above"), ("<", "below")):
        if rule.startswith(sign):
            return f"{subject} must be {words} {rule.removeprefix(sign).strip().removesuffix('.0')}"
    return f"{subject} must be {rule}"


def _choices(kind: Any, field: str) -> list[str]:
    """The words that a field of literals, or the tag of a union, may hold."""
    words = [str(struct.tag) for struct in _structs(kind) if struct.tag_field == field]
    for each in _field_types(kind, field):
        words += [str(word) for word in getattr(each, "values", ())]
    return list(dict.fromkeys(words))


def _may_be_array(kind: Any, field: str) -> bool:
    types = [
        each.type if isinstance(each, msgspec.inspect.Metadata) else each
        for each in _field_types(kind, field)
    ]
    return any(isinstance(each, msgspec.inspect.ListType) for each in types)


def _description(kind: Any, field: str) -> str:
    for each in _field_types(kind, field):
        if isinstance(each, msgspec.inspect.Metadata) and each.extra_json_schema:
            words = each.extra_json_schema.get("description")
            return f"; {words}" if words else ""
    return ""


def _structs(kind: Any) -> list[msgspec.inspect.StructType]:
    info = msgspec.inspect.type_info(kind)
    types = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    return [each for each in types if isinstance(each, msgspec.inspect.StructType)]


def _field_types(kind: Any, name: str) -> list[msgspec.inspect.Type]:
    """The types that a message's own field may have, those of a union one by one."""
    fields = [f.type for s in _structs(kind) for f in s.fields if f.encode_name == name]
    return [
        each
        for found in fields
        for each in (found.types if isinstance(found, msgspec.inspect.UnionType) else (found,))
    ]


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    name = type(value).__name__
    others = {"dict": "object", "list": "array", "tuple": "array", "Decimal": "number"}
    return others.get(name, _JSON.get(name, name))


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _an(word: str) -> str:
    if word == "null":
        return word
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"
