"""A server on loopback that answers with given bytes, HTTP or not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def raw_server(answer: bytes | None) -> Iterator[tuple[str, list[bytes]]]:
    """A server that sends these bytes and closes; None for one that stays silent."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []
    end = threading.Event()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(65_536))
                if answer is None:
                    end.wait(30)
                else:
                    connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", asked
    finally:
        end.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
