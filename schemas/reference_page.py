"""The page docs/reference/messages.md: topics and messages as tables, made from the schemas."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.topics import HEADERS, TOPICS, Topic

_INTRODUCTION = """\
# Messages

<!-- Generated from the code by `make schemas`. Do not edit. -->

Every value is one JSON object in UTF-8, at most 1 MiB; amounts are integers in nano-units
(1 USD = 1,000,000,000), times are Unix seconds. Unknown fields are ignored. Every topic name
starts with the configured prefix (`[topics] prefix`).

For programs: the [AsyncAPI document](../asyncapi.json), and a JSON Schema per message:
[query](../schemas/query.json), [routed](../schemas/routed.json),
[result](../schemas/result.json), [receipt](../schemas/receipt.json),
[rejected](../schemas/rejected.json), [control](../schemas/control.json),
[prices](../schemas/prices.json), [share report](../schemas/share-report.json),
[share grant](../schemas/share-grant.json).
"""
_ATTRIBUTE = re.compile(r"^    (\w+)(?: \([^)]*\))?: (.*)$")


def messages_page(schemas: Mapping[str, Any]) -> str:
    """Render the page.

    Args:
        schemas: JSON Schemas by name, as below `components.schemas` of the AsyncAPI document.

    Returns:
        The page in Markdown, ending in a newline.
    """
    parts = [_INTRODUCTION, "## Topics\n", *map(_topic, TOPICS)]
    parts += ["## Headers\n", _table(("header", "meaning"), _headers())]
    shown: dict[str, None] = {}
    for topic in TOPICS:
        for name in topic.messages:
            _collect(name, schemas, shown)
    parts += ["## Fields\n", *(_message(name, schemas[name]) for name in shown)]
    return "\n".join(parts)


def described(docstring: str) -> tuple[str, dict[str, str]]:
    """Split a docstring of Google style into its text and its `Attributes:` section.

    Args:
        docstring: Without indentation.

    Returns:
        The text before the section, and the meaning of each attribute by its name.
    """
    text, _, section = docstring.partition("\n\nAttributes:\n")
    meanings: dict[str, str] = {}
    field = ""
    for line in section.splitlines():
        if match := _ATTRIBUTE.match(line):
            field = match[1]
            meanings[field] = match[2]
        elif field and line.startswith("        "):
            meanings[field] += f" {line.strip()}"
    return text.strip(), meanings


def _topic(topic: Topic) -> str:
    """One topic as a short list."""
    messages = ", ".join(f"[{name}](#{name.lower()})" for name in topic.messages)
    headers = ", ".join(f"`{name}`" for name in topic.headers) or "none"
    lines = [
        f"### `{topic.address}`\n",
        f"{topic.description}\n",
        f"- Message: {messages}",
        f"- Key: {topic.key}",
        f"- From {', '.join(topic.senders)} to {', '.join(topic.receivers)}",
        f"- Headers: {headers}",
        f"- Cleanup: `{','.join(topic.cleanup)}`\n",
    ]
    return "\n".join(lines)


def _headers() -> Iterator[tuple[str, str]]:
    for name, meaning in HEADERS.items():
        yield f"`{name}`", meaning


def _collect(name: str, schemas: Mapping[str, Any], found: dict[str, None]) -> None:
    """Add a message and the objects that its fields refer to, each once."""
    if name in found or name not in schemas:
        return
    found[name] = None
    for reference in re.findall(r"#/components/schemas/(\w+)", repr(schemas[name])):
        _collect(reference, schemas, found)


def _message(name: str, schema: Mapping[str, Any]) -> str:
    """One message: its description and a table of its fields."""
    required = schema.get("required", ())
    rows = []
    for field, rule in schema.get("properties", {}).items():
        value = rule.get("default")
        default = "required" if field in required else "" if value is None else f"`{value!r}`"
        rows.append((f"`{field}`", _type(rule), default, rule.get("description", "")))
    table = _table(("field", "type", "default", "meaning"), rows)
    return f"### {name}\n\n{schema.get('description', '')}\n\n{table}"


def _type(rule: Mapping[str, Any]) -> str:
    """A field's type in words: `integer`, `array of string`, `string or null`."""
    if "$ref" in rule:
        name = rule["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if choices := rule.get("anyOf"):
        return " or ".join(_type(choice) for choice in choices)
    if choices := rule.get("enum") or ([rule["const"]] if "const" in rule else None):
        return ", ".join(f"`{choice}`" for choice in choices)
    kind = rule.get("type", "any")
    if kind == "array" and isinstance(rule.get("items"), dict):
        return f"array of {_type(rule['items'])}"
    if kind == "object" and isinstance(rule.get("additionalProperties"), dict):
        return f"object of {_type(rule['additionalProperties'])}"
    return kind if isinstance(kind, str) else " or ".join(kind)


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, ("---",) * len(head), *rows]
    cells = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)
    return "\n".join(cells) + "\n"
