"""The page of messages says of each field what its schema says."""

from __future__ import annotations

from schemas.documents import asyncapi
from schemas.reference_page import messages_page
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


def test_a_field_is_shown_with_type_default_and_meaning() -> None:
    """Types are words, references are links, and an Attributes section gives the meanings."""
    fields = {
        "count": {"type": "integer", "default": 0},
        "usage": {"anyOf": [{"$ref": "#/components/schemas/Usage"}, {"type": "null"}]},
        "rows": {"type": "array", "items": {"type": "number"}},
        "kind": {"enum": ["a", "b"]},
    }
    described = "One query.\n\nAttributes:\n    count: How\n        many.\n    kind (str): Which."
    query = {"description": described, "properties": fields, "required": ["kind"]}
    section = messages_page({"Query": query}).split("### Query\n")[1]
    assert section == (
        "\nOne query.\n\n| field | type | default | meaning |\n| --- | --- | --- | --- |\n"
        "| `count` | integer | `0` | How many. |\n"
        "| `usage` | [Usage](#usage) or null |  |  |\n"
        "| `rows` | array of number |  |  |\n"
        "| `kind` | `a`, `b` | required | Which. |\n"
    )
