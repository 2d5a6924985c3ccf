"""A tiny /v1/embeddings server for tests, whose next answers can be told."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

DIMENSION = 16
Answer = Callable[[list[str]], tuple[int, dict[str, str], bytes]]


def vector(text: str) -> list[float]:
    """A vector that depends on the text alone; its norm is not 1."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return [float(x) for x in np.random.default_rng(seed).normal(size=DIMENSION)]


def good(texts: list[str]) -> tuple[int, dict[str, str], bytes]:
    """What a server should say, with the vectors in reverse order."""
    data = [{"index": i, "embedding": vector(text)} for i, text in enumerate(texts)]
    return 200, {}, json.dumps({"data": data[::-1]}).encode()


def status(code: int, headers: dict[str, str] | None = None, body: bytes = b"{}") -> Answer:
    """An answer without vectors."""
    return lambda texts: (code, headers or {}, body)


class EmbeddingServer:
    """Serves `answers` in turn, then `good` ones. `requests` holds each request's body and
    `keys` its Authorization header."""

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(body)
                outer.keys.append(self.headers.get("Authorization"))
                answer = outer.answers.popleft() if outer.answers else good
                code, headers, payload = answer(body["input"])
                if self.path != "/v1/embeddings":
                    code, headers, payload = 404, {}, b""
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
