"""A tiny /v1/chat/completions server for tests, whose next replies can be told."""

from __future__ import annotations

import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str], bytes]
GOOD: Reply = (
    200,
    {},
    json.dumps(
        {
            "choices": [{"message": {"role": "assistant", "content": "4"}}],
            "usage": {
                "prompt_tokens": 12,
                "completion_tokens": 34,
                "prompt_tokens_details": {"cached_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 6},
            },
        }
    ).encode(),
)


def status(code: int, message: str = "no", **headers: str) -> Reply:
    """An error as OpenAI words it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return code, named, json.dumps({"error": {"message": message}}).encode()


class Server:
    """Serves `replies` in turn, then GOOD ones; None is silence until the server closes."""

    def __init__(self) -> None:
        self.replies: deque[Reply | None] = deque()
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.parents: list[str | None] = []
        self._closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append(json.loads(body))
                outer.keys.append(self.headers.get("Authorization"))
                outer.parents.append(self.headers.get("traceparent"))
                reply = outer.replies.popleft() if outer.replies else GOOD
                if reply is None:
                    outer._closing.wait(30)
                    return
                code, headers, data = reply if self.path == "/v1/chat/completions" else status(404)
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
