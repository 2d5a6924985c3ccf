"""The published schemas say what the code does, and are never behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas import Invalid, Message, Query, decode, encode
from schemas.documents import MESSAGES, asyncapi, json_schema, main, write
from schemas.topics import TOPICS
from tests.schemas.strategies import BY_KIND

VALIDATORS = {name: Draft202012Validator(json_schema(name)) for name in MESSAGES}
NAMES = {kind: name for name, kind in MESSAGES.items()}


def test_the_files_in_docs_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """What is published is what the code says; if not: python -m schemas.documents."""
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_check_names_what_is_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is changed, missing or left over makes the check fail by its name."""
    assert len(write(tmp_path)) == len(MESSAGES) + 2
    assert main(["--check", "--docs", str(tmp_path)]) == 0
    capsys.readouterr()
    (tmp_path / "schemas" / "query.json").write_text("{}")
    (tmp_path / "asyncapi.json").unlink()
    (tmp_path / "schemas" / "old.json").write_text("{}")
    assert main(["--check", "--docs", str(tmp_path)]) == 1
    named = [line.rsplit("/", 1)[-1] for line in capsys.readouterr().out.splitlines()]
    assert sorted(named) == ["asyncapi.json", "old.json", "query.json"]
    assert main(["--docs", str(tmp_path)]) == 0
    assert main(["--check", "--docs", str(tmp_path)]) == 0


@pytest.mark.parametrize("name", MESSAGES)
def test_schemas_are_schemas(name: str) -> None:
    """Each document is itself a valid JSON Schema."""
    Draft202012Validator.check_schema(json_schema(name))


@pytest.mark.parametrize("kind", BY_KIND)
@given(data=st.data())
def test_messages_pass_their_schema(kind: type[Message], data: st.DataObject) -> None:
    """Whatever is written on the wire is valid under the published schema."""
    message = data.draw(BY_KIND[kind])
    VALIDATORS[NAMES.get(kind, "control")].validate(json.loads(encode(message)))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"prompt": "a", "payload": {"messages": [{"role": "user", "content": "a"}]}},
        {"prompt": ""},
        {"payload": {}},
        {"payload": {"messages": []}},
        {"payload": {"messages": [{"content": "a"}]}},
        {"payload": {"messages": [{"role": "user", "content": "a"}], "max_tokens": 0}},
        {"prompt": "a", "id": "a\n"},
        {"prompt": "a", "max_cost": -1},
        {"prompt": "a", "embedding": []},
        {"prompt": "a", "metadata": {"k": []}},
    ],
)
def test_what_the_code_refuses_the_schema_refuses(fields: dict[str, Any]) -> None:
    """A client that checks by the published schema learns of the same mistakes."""
    body = {"id": "q", **fields}
    assert not VALIDATORS["query"].is_valid(body)
    with pytest.raises(Invalid):
        decode(Query, json.dumps(body).encode())


def test_a_model_is_added_with_prices_and_a_limit_only() -> None:
    """The rule of the code stands in the schema too."""
    add = {"kind": "model", "name": "m", "action": "add", "input_price": 1, "limit": 5}
    assert not VALIDATORS["control"].is_valid(add)
    assert VALIDATORS["control"].is_valid({**add, "output_price": 1})
    assert not VALIDATORS["control"].is_valid({**add, "output_price": 1, "limit": None})


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def test_asyncapi_is_whole() -> None:
    """Every topic has its channel and an operation, and every reference leads somewhere."""
    document = asyncapi()
    assert document["asyncapi"].startswith("3.0")
    assert list(document["channels"]) == [topic.name for topic in TOPICS]
    used = {operation["channel"]["$ref"] for operation in document["operations"].values()}
    assert used == {f"#/channels/{topic.name}" for topic in TOPICS}
    for reference in references(document):
        node: Any = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
        assert node
