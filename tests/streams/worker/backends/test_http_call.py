"""One HTTP call: what comes back, and whether it may have been charged."""

from __future__ import annotations

import pytest

from streams.worker.backends.http_call import CallFailed, Endpoint, Reply
from tests.support.raw_server import raw_server


async def post(base_url: str, timeout: float = 5.0, left: float | None = None) -> Reply:
    endpoint = Endpoint(base_url, {"X-Own": "yes"}, timeout, 1)
    try:
        return await endpoint.post(b"{}", left)
    finally:
        await endpoint.close()


async def test_where_it_is_posted() -> None:
    """Below the base's path, with its query string and the configured headers."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with raw_server(answer) as (address, asked):
        reply = await post(f"http://{address}/deployments/a%20b/?api-version=2024-06-01")
    assert reply.data == b"ok"
    head = asked[0].decode()
    assert head.startswith(
        "POST /deployments/a%20b/chat/completions?api-version=2024-06-01 HTTP/1.1\r\n"
    )
    assert "x-own: yes" in head.lower()


def test_its_name_holds_no_secrets() -> None:
    """Neither a query string nor a password."""
    assert Endpoint("http://u:p@host/v1?key=secret", {}, 1.0, 1).name == "http://host/v1"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\xff\x00",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbreaks off",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/9.9 abc\r\n\r\n",
    ],
)
async def test_an_answer_that_is_not_http(answer: bytes) -> None:
    """The request had left: it may have been charged."""
    with raw_server(answer) as (address, _):
        with pytest.raises(CallFailed) as caught:
            await post(f"http://{address}/v1")
        assert (caught.value.left, caught.value.timed_out) == (True, False)


@pytest.mark.parametrize(("timeout", "left"), [(0.2, None), (30.0, 0.2)])
async def test_silence(timeout: float, left: float | None) -> None:
    """Time runs out after the request has left."""
    with raw_server(None) as (address, _):
        with pytest.raises(CallFailed) as caught:
            await post(f"http://{address}/v1", timeout, left)
        assert (caught.value.left, caught.value.timed_out) == (True, True)


_BROKEN = (
    b"Content-Length: 100\r\n\r\nslow",
    b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n",
    b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nslow",
)


@pytest.mark.parametrize("body", _BROKEN)
async def test_a_refusal_counts_whatever_becomes_of_its_body(body: bytes) -> None:
    """Its status says that nothing was charged; of a good one nobody knows."""
    with raw_server(b"HTTP/1.1 429 Slow down\r\nRetry-After: 7\r\n" + body) as (address, _):
        reply = await post(f"http://{address}/v1")
    assert (reply.status, reply.headers["retry-after"]) == (429, "7")
    with raw_server(b"HTTP/1.1 200 OK\r\n" + body) as (address, _):
        with pytest.raises(CallFailed) as caught:
            await post(f"http://{address}/v1")
        assert caught.value.left


async def test_cookies_are_not_kept() -> None:
    """A server's cookie, which may hold anything, does not spoil the next request."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=\xc3\xa9\r\n\r\nok"
    with raw_server(answer) as (address, asked):
        endpoint = Endpoint(f"http://{address}/v1", {}, 5.0, 1)
        for _ in range(2):
            await endpoint.post(b"{}", None)
        await endpoint.close()
    assert len(asked) == 2
    assert b"cookie" not in asked[1].lower()


async def test_nobody_there() -> None:
    """No request has left, so nothing was charged."""
    with pytest.raises(CallFailed) as caught:
        await post("http://127.0.0.1:9/v1")
    assert not caught.value.left
