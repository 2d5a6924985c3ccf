"""Connections are bounded, and nobody else's machine is served without keys."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.brokers.embedded import EmbeddedBroker
from streams.metrics.serve import ServeMetrics
from streams.serve.server import is_loopback, run
from tests.support.front import RunningFront, deploy
from tests.support.patience import PATIENCE

QUICK = "[serve]\nheader_seconds = 0.3\nbody_seconds = 0.3\n"


@pytest.fixture
def front(tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker) -> Iterator[RunningFront]:
    with RunningFront(deploy(tmp_path, prefix, embedded_broker, QUICK)) as front:
        yield front


@pytest.fixture
def patient(tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker) -> Iterator[RunningFront]:
    settings = f"[serve]\nheader_seconds = {PATIENCE}\n"
    with RunningFront(deploy(tmp_path, prefix, embedded_broker, settings)) as front:
        yield front


def connect(front: RunningFront) -> socket.socket:
    return socket.create_connection(("127.0.0.1", front.port), PATIENCE)


def ended(client: socket.socket) -> bytes:
    """What the front says until it closes the connection."""
    said = b""
    while part := client.recv(65_536):
        said += part
    return said


def read_to(client: socket.socket, words: bytes) -> None:
    """Read until the front has said these words."""
    said = b""
    while words not in said:
        part = client.recv(65_536)
        assert part, said
        said += part


@pytest.mark.parametrize("head", [b"", b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: b"])
def test_slow_heads(front: RunningFront, head: bytes) -> None:
    """A connection whose request does not come is closed; others are served."""
    with connect(front) as slow:
        slow.sendall(head)
        assert ended(slow) == b""
    assert front.client().models.list().data


def test_slow_bodies(front: RunningFront) -> None:
    """A body that does not come gets a 408."""
    with connect(front) as slow:
        slow.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
        )
        assert ended(slow).startswith(b"HTTP/1.1 408")


def test_a_second_slow_head(front: RunningFront) -> None:
    """The same holds for the second request of a connection."""
    with connect(front) as slow:
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /health HT")
        assert ended(slow).count(b"HTTP/1.1 200") == 1


def test_long_heads(front: RunningFront) -> None:
    """A head without end is not read to its end."""
    with connect(front) as client:
        try:
            client.sendall(b"GET /health HTTP/1.1\r\n" + b"X-A: b\r\n" * 1_000_000)
            assert ended(client) == b""
        except ConnectionError:
            pass
    assert front.client().models.list().data


@pytest.mark.parametrize("kept", ["", "Connection: close\r\n"])
@pytest.mark.parametrize(
    ("path", "status"), [("/v1/chat/completions", 413), ("/v1/files", 400), ("/v1/none", 404)]
)
def test_clients_that_send_before_they_read(
    patient: RunningFront, path: str, status: int, kept: str
) -> None:
    """A refusal is there to be read after a long body was sent whole."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {8 << 20}\r\n{kept}\r\n"
    with connect(patient) as client:
        client.sendall(head.encode())
        for _ in range(8):
            client.sendall(b" " * (1 << 20))
        assert client.recv(65_536).startswith(f"HTTP/1.1 {status}".encode())


def test_a_request_after_an_unread_body(patient: RunningFront) -> None:
    """What is left of a body that nobody wanted is no part of the next request."""
    with connect(patient) as client:
        head = b"POST /v1/none HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"
        client.sendall(head)
        read_to(client, b"HTTP/1.1 404")
        client.sendall(b"x" * 200_000 + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        read_to(client, b"HTTP/1.1 200")


def test_bodies_without_end(front: RunningFront) -> None:
    """A body that goes on after its request was refused is not read for ever."""

    def send(client: socket.socket) -> None:
        client.sendall(b"POST /v1/none HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            client.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    with connect(front) as client, pytest.raises(ConnectionError):
        send(client)


def test_upgrades(patient: RunningFront) -> None:
    """A client that would rather speak HTTP/2, as Java's, is answered, its body read."""
    body = b'{"model": "none", "messages": []}'
    asked = b"Connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nHTTP2-Settings: AAEA\r\n"
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)
    with connect(patient) as client:
        client.sendall(head + asked + b"\r\n")
        client.sendall(body)
        read_to(client, b"model_not_found")


def test_what_is_no_http(front: RunningFront) -> None:
    """Bytes that are no HTTP get an error in OpenAI's form."""
    with connect(front) as client:
        client.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        said = ended(client)
    assert said.startswith(b"HTTP/1.1 400")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_http"


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("x", False)],
)
def test_loopback(host: str, here: bool) -> None:
    """Loopback is what only this machine reaches."""
    assert is_loopback(host) == here


def test_beyond_loopback(tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker) -> None:
    """Other machines are not served without keys."""
    config = deploy(tmp_path, prefix, embedded_broker)
    with pytest.raises(ValueError, match="sluice key new"):
        run(config, "0.0.0.0", 1, ServeMetrics(), lambda stop: None)


def test_it_says_where_it_serves(
    tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """In a line of its own: those of uvicorn are left out."""
    caplog.set_level("INFO", "streams.serve.server")
    with RunningFront(deploy(tmp_path, prefix, embedded_broker, QUICK)) as front:
        pass
    assert f"serves http://127.0.0.1:{front.port}" in caplog.messages
