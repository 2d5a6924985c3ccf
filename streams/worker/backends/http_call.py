"""One HTTP call, and whether its request had left when it failed."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

LONGEST_ANSWER = 16 * 2**20
"""Bytes; the rest of a longer answer is not read."""
LONGEST_CONNECT = 10.0
"""Seconds for a connection at most."""
LONGEST_IDLE = 2.0
"""Seconds after which an idle connection is not used again. Servers close theirs after 5 s or more;
a request that meets that moment looks like a call that may have been charged."""


REFUSED = 300
"""HTTP statuses from here on say that there is no answer, whatever becomes of their bodies."""

DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer.

    Attributes:
        status: The HTTP status.
        headers: With names in lower case.
        data: The body, or its first `LONGEST_ANSWER` bytes and a few, or what came of it where the
            status says that there is no answer.
    """

    status: int
    headers: dict[str, str]
    data: bytes


class CallFailed(Exception):
    """There is no answer.

    Attributes:
        left: Whether the request had left, so that the call may have been charged.
        timed_out: Whether time ran out.
    """

    def __init__(self, reason: str, left: bool, timed_out: bool) -> None:
        super().__init__(reason)
        self.left = left
        self.timed_out = timed_out


class Endpoint:
    """Where chat completions are posted to."""

    def __init__(
        self, base_url: str, headers: Mapping[str, str], timeout: float, connections: int
    ) -> None:
        """Open no connection yet.

        Args:
            base_url: The server's address; a query string goes with every request.
            headers: Sent with every request.
            timeout: Seconds for a call.
            connections: At most.
        """
        url = httpx.URL(base_url)
        self.name = str(url.copy_with(query=None, username=None, password=None))
        self.host, self.port = url.host, url.port or DEFAULT_PORTS.get(url.scheme)
        self._url = url.copy_with(path=url.path.rstrip("/") + "/chat/completions")
        self.timeout = timeout
        self._client = httpx.AsyncClient(
            headers={"Content-Type": "application/json", **headers},
            timeout=httpx.Timeout(timeout, connect=min(timeout, LONGEST_CONNECT)),
            limits=httpx.Limits(max_connections=connections, keepalive_expiry=LONGEST_IDLE),
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # none is kept
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def post(
        self, body: bytes, left: float | None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Post a body.

        Args:
            body: JSON.
            left: Seconds until the call is of no use; None for the endpoint's timeout alone.
            headers: Of this request alone.

        Raises:
            CallFailed: No answer came, or none that is HTTP. Of one that says that there is none
                (`REFUSED`), the head is enough.
        """
        leaving, came = False, _Arriving()

        async def trace(event: str, _: Mapping[str, Any]) -> None:
            nonlocal leaving
            leaving = leaving or event.endswith("send_request_headers.started")

        limit = self.timeout if left is None else min(self.timeout, max(left, 0.001))
        try:
            async with asyncio.timeout(limit):
                await self._post(body, headers or {}, {"trace": trace}, came)
        except _FAILURES as error:
            if came.status < REFUSED:  # else the status tells all that matters
                raise _failure(error, leaving) from error
        return Reply(came.status, came.headers, bytes(came.data))

    async def _post(
        self,
        body: bytes,
        headers: Mapping[str, str],
        extensions: dict[str, Any],
        came: _Arriving,
    ) -> None:
        async with self._client.stream(
            "POST", self._url, content=body, headers=headers, extensions=extensions
        ) as response:
            came.headers = {name.lower(): value for name, value in response.headers.items()}
            came.status = response.status_code
            async for part in response.aiter_bytes():
                came.data += part
                if len(came.data) > LONGEST_ANSWER:
                    break


@dataclass(slots=True)
class _Arriving:
    """What has come of an answer: a status of 0 before its head."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)


_FAILURES = (
    TimeoutError,
    httpx.HTTPError,
    httpx.StreamError,
    OSError,
    ValueError,
    zlib.error,
)


def _failure(error: Exception, leaving: bool) -> CallFailed:
    """Return what a call failed with. leaving: whether its request had left."""
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        reason = "no answer in time" if leaving else "no connection in time"
        return CallFailed(reason, leaving, timed_out=True)
    if isinstance(error, httpx.LocalProtocolError):  # such as a header that HTTP does not allow
        return CallFailed(f"cannot send: {error}", left=False, timed_out=False)
    reason = f"the connection broke: {error!r}" if leaving else f"cannot connect: {error}"
    return CallFailed(reason, leaving, timed_out=False)
