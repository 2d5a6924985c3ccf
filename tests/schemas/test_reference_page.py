"""The page of messages says of each field what its schema says."""

from __future__ import annotations

from schemas.documents import asyncapi
from schemas.reference_page import described, messages_page
from schemas.topics import HEADERS, TOPICS

SCHEMAS = asyncapi()["components"]["schemas"]
PAGE = messages_page(SCHEMAS)


def test_all_topics_messages_and_headers_are_there() -> None:
    """Each topic has a section, each header a row, each schema a section and a row per field."""
    assert all(f"### `{topic.address}`\n" in PAGE for topic in TOPICS)
    assert all(f"| `{name}` | {meaning} |" in PAGE for name, meaning in HEADERS.items())
    for name, schema in SCHEMAS.items():
        section = PAGE.split(f"### {name}\n")[1].split("###")[0]
        assert all(f"\n| `{field}` | " in section for field in schema["properties"])


def test_a_docstring_is_text_and_attributes() -> None:
    """An Attributes section is read by name, over several lines and with or without types."""
    text = "One query.\n\nAttributes:\n    count: How\n        many.\n    kind (str): Which."
    assert described(text) == ("One query.", {"count": "How many.", "kind": "Which."})
    assert described("No more.") == ("No more.", {})


def test_every_field_has_a_meaning() -> None:
    """Each field of each message is described."""
    bare = [
        f"{name}.{field}"
        for name, schema in SCHEMAS.items()
        for field, rule in schema["properties"].items()
        if not rule.get("description") and field != "kind"
    ]
    assert bare == []


def test_a_field_is_shown_with_type_default_and_meaning() -> None:
    """Types are words, and references are links."""
    fields = {
        "count": {"type": "integer", "default": 0, "description": "How many."},
        "usage": {"anyOf": [{"$ref": "#/components/schemas/Usage"}, {"type": "null"}]},
        "rows": {"type": "array", "items": {"type": "number"}},
        "kind": {"enum": ["a", "b"], "description": "Which."},
    }
    query = {"description": "One query.", "properties": fields, "required": ["kind"]}
    section = messages_page({"Query": query}).split("### Query\n")[1]
    assert section == (
        "\nOne query.\n\n| field | type | default | meaning |\n| --- | --- | --- | --- |\n"
        "| `count` | integer | `0` | How many. |\n"
        "| `usage` | [Usage](#usage) or null |  |  |\n"
        "| `rows` | array of number |  |  |\n"
        "| `kind` | `a`, `b` | required | Which. |\n"
    )
