"""The published description of the wire: JSON Schemas, an AsyncAPI document, a reference page.

`python -m schemas.documents` writes them to docs/; with `--check` it writes nothing and exits 1,
naming the files that differ from the code.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from schemas.control import ADD_NEEDS, BudgetControl, Control, ModelControl
from schemas.price import Prices
from schemas.query import Query
from schemas.receipt import Receipt
from schemas.reference_page import described, messages_page
from schemas.rejected import Rejected
from schemas.result import Result
from schemas.route import Routed
from schemas.share import ShareGrant, ShareReport
from schemas.start import Start
from schemas.topics import HEADERS, TOPICS, Topic

DOCS = Path(__file__).resolve().parent.parent / "docs"

MESSAGES: dict[str, Any] = {
    "query": Query,
    "routed": Routed,
    "start": Start,
    "result": Result,
    "receipt": Receipt,
    "rejected": Rejected,
    "control": Control,
    "prices": Prices,
    "share-report": ShareReport,
    "share-grant": ShareGrant,
}
"""Every message by the name of its file."""

_ONE_TEXT = [
    {"required": ["payload"], "properties": {"payload": {"type": "object"}}},
    {"required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
]


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one message of `MESSAGES`."""
    schema = msgspec.json.schema(MESSAGES[name])
    _polish(schema["$defs"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document: topics, keys, headers, messages, who sends and who receives."""
    kinds = [Query, Routed, Start, Result, Receipt, Rejected, ModelControl, BudgetControl]
    kinds += [Prices, ShareReport, ShareGrant]
    template = "#/components/schemas/{name}"
    _, schemas = msgspec.json.schema_components(kinds, ref_template=template)
    _polish(schemas)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sluice",
            "version": "1",
            "description": "What travels between applications, routers, model workers and the "
            "controller. Values are JSON in UTF-8; amounts are integers in nano-units.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": _operations(),
        "components": {
            "schemas": schemas,
            "messages": {
                f"{topic.name}.{kind}": _message(topic, kind)
                for topic in TOPICS
                for kind in topic.messages
            },
        },
    }


def documents() -> dict[Path, str]:
    """Every generated file by its path below docs/, with its text."""
    texts = {Path("schemas") / f"{name}.json": json_schema(name) for name in MESSAGES}
    texts[Path("asyncapi.json")] = asyncapi()
    written = {path: json.dumps(text, indent=2) + "\n" for path, text in texts.items()}
    page = messages_page(texts[Path("asyncapi.json")]["components"]["schemas"])
    return written | {Path("reference") / "messages.md": page}


def stale(docs: Path = DOCS) -> list[Path]:
    """The generated files that differ from the code, are missing, or describe nothing any more."""
    expected = {docs / path: text for path, text in documents().items()}
    differ = [p for p, text in expected.items() if not p.exists() or p.read_text() != text]
    return differ + [p for p in sorted((docs / "schemas").glob("*.json")) if p not in expected]


def write(docs: Path = DOCS) -> list[Path]:
    """Bring the files up to date. Returns those that were written or removed."""
    changed = stale(docs)
    texts = documents()
    for path in changed:
        if (text := texts.get(path.relative_to(docs))) is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or check them. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m schemas.documents", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if stale")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder (default: docs)")
    options = parser.parse_args(arguments)
    changed = stale(options.docs) if options.check else write(options.docs)
    for path in changed:
        print(f"{'stale' if options.check else 'written'}: {path}")
    if changed and options.check:
        print("run: python -m schemas.documents", file=sys.stderr)
        return 1
    return 0


def _polish(schemas: dict[str, Any]) -> None:
    """Add what msgspec cannot say: descriptions of fields, rules that span fields."""
    for schema in schemas.values():
        text, fields = described(inspect.cleandoc(schema.get("description", "")))
        if text:
            schema["description"] = text
        for name, meaning in fields.items():
            schema["properties"][name]["description"] = meaning
    for name in ("Query", "Routed"):
        if name in schemas:
            schemas[name]["oneOf"] = _ONE_TEXT
    if "ModelControl" in schemas:
        schemas["ModelControl"] |= {
            "if": {"properties": {"action": {"const": "add"}}},
            "then": {
                "required": list(ADD_NEEDS),
                "properties": {name: {"type": "integer"} for name in ADD_NEEDS},
            },
        }


def _channel(topic: Topic) -> dict[str, Any]:
    parameters = {
        "prefix": {"description": "`topics.prefix` of sluice.toml", "default": ""},
        "model": {"description": "the model's name, as a topic name can hold it"},
    }
    address = "{prefix}" + topic.address
    references = {
        kind: {"$ref": f"#/components/messages/{topic.name}.{kind}"} for kind in topic.messages
    }
    return {
        "address": address,
        "description": topic.description,
        "parameters": {name: parameters[name] for name in parameters if f"{{{name}}}" in address},
        "messages": references,
        "bindings": {
            "kafka": {
                "topicConfiguration": {"cleanup.policy": list(topic.cleanup)},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _message(topic: Topic, kind: str) -> dict[str, Any]:
    described = {name: {"type": "string", "description": HEADERS[name]} for name in topic.headers}
    headers = {"headers": {"type": "object", "properties": described}} if described else {}
    return {
        "name": kind,
        "contentType": "application/json",
        **headers,
        "payload": {"$ref": f"#/components/schemas/{kind}"},
        "bindings": {
            "kafka": {
                "key": {"type": ["string", "null"], "description": topic.key},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operations() -> dict[str, Any]:
    operations: dict[str, Any] = {}
    for topic in TOPICS:
        channel = {"$ref": f"#/channels/{topic.name}"}
        for action, whom in (("send", topic.senders), ("receive", topic.receivers)):
            for who in whom:
                operations[f"{who}.{action}.{topic.name}"] = {
                    "action": action,
                    "channel": channel,
                    "summary": f"{who} {action}s {topic.name}",
                }
    return operations


if __name__ == "__main__":
    raise SystemExit(main())
