"""A model server that answers each query as the script of the case that its text names."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_NAMED = re.compile(rb"#([a-z0-9_]+)#")


def completion(usage: object = None, content: object = "ok", **more: object) -> bytes:
    """The body of an answer. usage: left out where it is None."""
    message = {"role": "assistant", "content": content}
    body: dict[str, object] = {"choices": [{"index": 0, "message": message}], **more}
    return json.dumps(body if usage is None else {**body, "usage": usage}).encode()


@dataclass(frozen=True)
class Reply:
    """What the server sends.

    Attributes:
        body: {MAX} in it stands for the limit of tokens that was asked for.
        status: Of HTTP.
        headers: Beside the length.
        cut: The connection is closed after so many bytes of the body.
    """

    body: bytes = completion({"prompt_tokens": 10, "completion_tokens": 20})
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


class _Server(ThreadingHTTPServer):
    """Knows its connections, to cut them."""

    request_queue_size = 128  # a worker connects as often as it has calls at a time

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that is gone is no news."""


class ScriptedModel:
    """Serves `script[case]` to a query whose text holds #case#, and `otherwise` to others.

    Attributes:
        script: What each case is answered.
        otherwise: The answer to others.
        asked: By case (or ""), the bodies of all calls in their order.
        open: Answers wait until it is set, as it is at first.
    """

    def __init__(self, script: Mapping[str, Reply] | None = None) -> None:
        self.script = dict(script or {})
        self.otherwise = Reply()
        self.asked: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.open = threading.Event()
        self.open.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                reply, body = outer._answer(data)
                outer.open.wait()
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: reply.cut])
                self.close_connection = reply.cut is not None

            def log_message(self, *_: object) -> None:
                pass

        self._handler = Handler
        self._serve(0)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def _serve(self, port: int) -> None:
        self._server = _Server(("127.0.0.1", port), self._handler)
        # A daemon, so that a test that fails before `close` does not hold up the end of all.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def die(self) -> None:
        """Cut all connections, without answers, and take no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.cut()
        self.open.set()
        self._server.server_close()

    def come_back(self) -> None:
        """Serve again at the same address."""
        self._serve(self.port)

    def _answer(self, data: bytes) -> tuple[Reply, bytes]:
        named = _NAMED.search(data)
        case = named[1].decode() if named else ""
        body = json.loads(data)
        self.asked[case].append(body)
        limit = body.get("max_tokens", body.get("max_completion_tokens", 60_000))
        reply = self.script.get(case, self.otherwise)
        return reply, reply.body.replace(b"{MAX}", str(limit).encode())

    def close(self) -> None:
        """End the server."""
        self.open.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
