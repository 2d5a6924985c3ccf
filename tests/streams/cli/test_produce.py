"""`sluice produce`: what is sent, what is not, and what is said of it."""

from __future__ import annotations

import codecs
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streams.brokers.embedded import EmbeddedBroker
from streams.cli import main
from tests.support.records import Records

CONFIG = """
[topics]
prefix = "{prefix}"
[models.small]
input_price = "0.1"
output_price = "0.2"
budget = {{ limit = "1" }}
[policy]
expected_queries = 100
"""


class Produced:
    """The command, run on a file of these lines, and the topic after it."""

    def __init__(self, broker: EmbeddedBroker, folder: Path, prefix: str) -> None:
        self.topic = f"{prefix}queries"
        broker.create({self.topic: 2})
        self.broker, self.folder = broker, folder
        self.config = folder / "sluice.toml"
        self.config.write_text(CONFIG.format(prefix=prefix))

    def run(self, lines: list[str], *options: str, name: str = "queries.jsonl") -> Result:
        file = self.folder / name
        data = "\n".join(lines).encode()
        file.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return self.sluice(str(file), *options)

    def pipe(self, data: bytes, *options: str) -> Result:
        """The command, with these bytes as standard input."""
        return self.sluice("-", *options, data=data)

    def sluice(self, file: str, *options: str, data: bytes | None = None) -> Result:
        """The command. file: what is sent; data: standard input."""
        arguments = ["produce", file, "--config", str(self.config), *options]
        environment = {"SLUICE_BROKER": self.broker.servers}
        return CliRunner(env=environment).invoke(main, arguments, input=data)

    def sent(self) -> dict[str, Any]:
        """By key, what is in the topic."""
        records = Records(self.broker.servers, {self.topic: 2})
        found = {(r.key or b"").decode(): r.json() for r in records.of(self.topic)}
        records.close()
        return found


@pytest.fixture
def produced(embedded_broker: EmbeddedBroker, tmp_path: Path, prefix: str) -> Produced:
    return Produced(embedded_broker, tmp_path, prefix)


def test_queries_are_sent_as_they_are(produced: Produced) -> None:
    """A query's every field is sent, unknown ones too; its id is the key."""
    query = {"id": "a", "prompt": "Why?", "max_tokens": 5, "later": [1]}
    result = produced.run([json.dumps(query), "", json.dumps({"id": "b", "prompt": "How?"})])
    assert result.exit_code == 0, result.output
    assert "2 of 2 queries acknowledged" in result.output
    assert produced.sent() == {"a": query, "b": {"id": "b", "prompt": "How?"}}


def test_outcomes_never_leave(produced: Produced) -> None:
    """Of a dataset's row only id and prompt are sent."""
    row = {"id": "a", "task": "t", "prompt": "Why?", "scores": {"m": 1}, "cost_usd": {"m": 0.1}}
    result = produced.run([json.dumps(row)], name="rows.jsonl.gz")
    assert result.exit_code == 0, result.output
    assert produced.sent() == {"a": {"id": "a", "prompt": "Why?"}}


def test_a_bad_line_ends_it(produced: Produced) -> None:
    """The line is named by its number, what came before it is sent, and the exit code is 1."""
    result = produced.run(['{"id": "a", "prompt": "Why?"}', "", '{"id": "b"}', "{"])
    assert result.exit_code == 1
    assert "queries.jsonl, line 3: prompt" in result.output
    assert "1 queries before it were sent" in result.output
    assert list(produced.sent()) == ["a"]


def test_bad_lines_can_be_passed_over(produced: Produced) -> None:
    """With --skip-bad every good line is sent, and each bad one named."""
    lines = ['{"id": 7, "prompt": "Why?"}', '{"id": "a", "prompt": "Why?"}', "nonsense"]
    result = produced.run(lines, "--skip-bad")
    assert result.exit_code == 0, result.output
    assert "line 1: id" in result.output
    assert "line 3: " in result.output
    assert "1 of 1 queries acknowledged, 2 bad lines passed over" in result.output
    assert list(produced.sent()) == ["a"]


def test_another_topic(produced: Produced, embedded_broker: EmbeddedBroker, prefix: str) -> None:
    """--topic sends there, not to the configuration's."""
    embedded_broker.create({f"{prefix}other": 2})
    result = produced.run(['{"id": "a", "prompt": "Why?"}'], "--topic", f"{prefix}other")
    assert result.exit_code == 0, result.output
    assert produced.sent() == {}
    produced.topic = f"{prefix}other"
    assert list(produced.sent()) == ["a"]


def test_a_topic_that_is_not_there(produced: Produced) -> None:
    """Nothing is sent to a topic that nobody made; a sentence says how to make it."""
    result = produced.run(['{"id": "a", "prompt": "Why?"}'], "--topic", "no.such")
    assert result.exit_code == 1
    assert "there is no topic no.such; make it with: sluice topics create" in result.output


BODY = {"model": "any", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}


def request(custom_id: str, **changes: Any) -> str:
    """A line of an OpenAI batch file."""
    url = "/v1/chat/completions"
    line = {"custom_id": custom_id, "method": "POST", "url": url, "body": BODY, **changes}
    return json.dumps(line)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_standard_input(produced: Produced, compressed: bool, mark: bytes, end: str) -> None:
    """`-`, plain or gzip, with a byte-order mark or without, with either line end."""
    lines = ['{"id": "a", "prompt": "Why?"}', '{"id": "b", "prompt": "How?"}', ""]
    data = mark + end.join(lines).encode()
    result = produced.pipe(gzip.compress(data) if compressed else data)
    assert result.exit_code == 0, result.output
    assert produced.sent() == {
        "a": {"id": "a", "prompt": "Why?"},
        "b": {"id": "b", "prompt": "How?"},
    }


def test_broken_gzip_says_what_was_sent(produced: Produced) -> None:
    """Queries before the break have left: they are acknowledged, and counted."""
    lines = "".join(f'{{"id": "q{i}", "prompt": "{i * 7919}"}}\n' for i in range(3000))
    result = produced.pipe(gzip.compress(lines.encode())[:-1000])
    assert result.exit_code == 1
    sent = len(produced.sent())
    assert 0 < sent < 3000
    assert "standard input: broken gzip file" in result.output
    assert f"{sent} queries before it were sent and acknowledged" in result.output


def test_a_pipe_by_name(produced: Produced) -> None:
    """As a shell gives it for <(command)."""
    reading, writing = os.pipe()
    os.write(writing, b'{"id": "a", "prompt": "Why?"}\n')
    os.close(writing)
    try:
        result = produced.sluice(f"/dev/fd/{reading}")
    finally:
        os.close(reading)
    assert result.exit_code == 0, result.output
    assert produced.sent() == {"a": {"id": "a", "prompt": "Why?"}}


def test_a_batch_file(produced: Produced) -> None:
    """Its requests are sent with the file's name in their ids, other lines as they are."""
    lines = [request("r1"), request("r2", id=None), '{"id": "a", "prompt": "custom_id body"}']
    result = produced.run(lines, "--batch", "june")
    assert result.exit_code == 0, result.output
    assert "ids of 2 requests of a batch file: june/CUSTOM_ID" in result.output
    assert produced.sent() == {
        "june/r1": {"id": "june/r1", "custom_id": "r1", "payload": BODY},
        "june/r2": {"id": "june/r2", "custom_id": "r2", "payload": BODY},
        "a": {"id": "a", "prompt": "custom_id body"},
    }


def test_two_batch_files_may_use_a_custom_id_twice(produced: Produced) -> None:
    """Without a name each run makes one of its own."""
    assert produced.run([request("r1")]).exit_code == 0
    assert produced.run([request("r1")]).exit_code == 0
    sent = produced.sent()
    assert len(sent) == 2
    assert {query["custom_id"] for query in sent.values()} == {"r1"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (request("r1", url="/v1/embeddings"), "url: found a string, only POST"),
        (request("r1", method="GET"), "method: found a string, only POST"),
        (request(""), "custom_id"),
        (request("x" * 256), "id: "),
        (request("r1", body=[]), "body"),
        (request("r1", body={}), "messages"),
        (request("r1", body={**BODY, "max_tokens": 0}), "max_tokens"),
    ],
)
def test_requests_that_cannot_be_routed(produced: Produced, line: str, words: str) -> None:
    """They are bad lines, explained by their fields."""
    result = produced.run([line])
    assert result.exit_code == 1
    assert "queries.jsonl, line 1: " in result.output
    assert words in result.output
    assert produced.sent() == {}
