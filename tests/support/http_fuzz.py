"""Seeded damage to HTTP requests: bodies, headers, paths, and the bytes of a whole request."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

import orjson

from tests.support.fuzz import damaged

PATIENCE = 60.0
"""Seconds in which a request has an answer, or the connection ends."""
PATHS: Sequence[str] = (
    *["/v1/chat/completions"] * 6,
    "/v1/files",
    "/v1/batches",
    "/v1/batches/batch_x/cancel",
    "/v1/models",
    "/v1/files/file-x/content",
)
ODD_PATHS: Sequence[str] = (
    "/",
    "//",
    "*",
    "/v1/chat/completions/..",
    "/v1/files/%00",
    "/v1/files/..%2f..%2fetc%2fpasswd",
    "/v1/batches?limit=-1&after=%ff",
    "/v1/files?limit=99999999999999999999",
    "/v1/models/%f0%9f",
    "/" + "x" * 5000,
)
HEADERS: Sequence[tuple[str, str]] = (
    ("Content-Type", "application/json"),
    ("Content-Type", "multipart/form-data"),
    ("Content-Type", "multipart/form-data; boundary=x"),
    ("Authorization", "Bearer"),
    ("Authorization", "Bearer " + "x" * 5000),
    ("Authorization", "Basic Og=="),
    ("X-Sluice-Deadline", "nan"),
    ("X-Sluice-Deadline", "1e400"),
    ("X-Sluice-Deadline", "-1"),
    ("X-Sluice-Max-Cost", "1e999999999"),
    ("X-Sluice-Max-Cost", "\xe9"),
    ("X-Sluice-Floor", "1e400"),
    ("X-Sluice-Floor", "\xe9"),
    ("X-Sluice-Tenant", "\xff"),
    ("X-Sluice-Tenant", "t" * 1000),
    ("Idempotency-Key", "\xe9" * 300),
    ("Idempotency-Key", ""),
    ("Expect", "100-continue"),
    ("Accept-Encoding", "br;q=x"),
    ("X-Odd", "\x01"),
)
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x\r\n'
    b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n{}\r\n--x--\r\n'
)


class Answer(NamedTuple):
    """What a front said; status 0: it closed the connection."""

    status: int
    body: bytes


def requests(good: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """`count` requests, each with some damage. good: bodies of chat completions."""
    random = Random(seed)
    for body in damaged([*good, FORM], count, seed):
        path = random.choice(PATHS if random.random() < 0.9 else ODD_PATHS)
        method = "POST" if random.random() < 0.9 else random.choice(("GET", "DELETE", "PUT", "x"))
        data = body or b""
        headers = random.sample(HEADERS, random.choice((0, 0, 1, 1, 2, 3)))
        # One in a hundred promises more than it sends, and is cut off in time.
        length = len(data) + (5 if random.random() < 0.01 else 0)
        head = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {length}"]
        head += [f"{name}: {value}" for name, value in headers]
        whole = "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + data
        if random.random() < 0.1:
            whole = next(damaged([whole], 1, random.randrange(2**32))) or b""
        yield whole


def send(port: int, request: bytes) -> Answer:
    """Send a request's bytes; return the answer, where one comes."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        try:
            client.sendall(request)
            answer = http.client.HTTPResponse(client)
            answer.begin()
            while answer.status == 100:
                answer.begin()
            return Answer(answer.status, answer.read())
        except (ConnectionError, http.client.BadStatusLine, http.client.IncompleteRead):
            return Answer(0, b"")


def is_explained(answer: Answer) -> bool:
    """Whether an answer is an error in OpenAI's form, and not the front's own fault."""
    try:
        error = orjson.loads(answer.body)["error"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return False
    return answer.status != 500 and bool(error["message"]) and bool(error["code"])
