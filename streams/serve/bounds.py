"""Bounds of what a client may do: size and time of a body, requests a second, answers kept."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable

import msgspec
from starlette.requests import ClientDisconnect, Request

from streams.client.answers import Answer, Ending
from streams.serve.errors import ApiError, too_many

KEPT_BYTES = 64 << 20
"""Of answers that are kept for repeated requests."""
_CLOSE = {"connection": "close"}


async def body_parts(request: Request, most: int, seconds: float) -> AsyncGenerator[bytes, None]:
    """Yield a request's body as it comes.

    Args:
        request: Whose body.
        most: Bytes that it may have.
        seconds: In which it must be there.

    Raises:
        ApiError: It is too long, too slow, or compressed.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        words = "Content-Encoding: send the body as it is, not compressed"
        raise ApiError(415, "unsupported_encoding", words, "Content-Encoding", _CLOSE)
    too_large = ApiError(
        413, "too_large", f"the body is too large: at most {most} bytes are accepted", None, _CLOSE
    )
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise too_large
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_large
                yield part
    except TimeoutError:
        words = f"the body did not arrive within {seconds:g} seconds"
        raise ApiError(408, "request_timeout", words, None, _CLOSE) from None
    except ClientDisconnect:
        raise ApiError(400, "disconnected", "the client went away", None, _CLOSE) from None


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """Return a request's whole body; see `body_parts`."""
    return b"".join([part async for part in body_parts(request, most, seconds)])


class Rates:
    """A token bucket for each caller: `rate` requests a second, as many at once as in a second."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        """rate: per second; clock: seconds."""
        self._rate, self._clock = rate, clock
        self._most = max(rate, 1.0)
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, caller: str) -> None:
        """Count a request. Raises ApiError (429) where the caller sends too many."""
        now = self._clock()
        left, at = self._left.get(caller, (self._most, now))
        left = min(self._most, left + (now - at) * self._rate)
        if left < 1:
            words = f"more than {self._rate:g} requests a second"
            raise too_many("rate_limit_exceeded", words, (1 - left) / self._rate)
        self._left[caller] = (left - 1, now)


class KeptAnswers:
    """Answers to repeatable queries: the newest, for a time, in a bounded memory."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """seconds: that an answer is kept; clock: seconds."""
        self._seconds, self._clock = seconds, clock
        self._kept: OrderedDict[str, tuple[float, int, Answer]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, id: str, ending: Ending) -> None:
        """Keep the first answer to an id. An id that failed may be sent again."""
        if id in self._kept or not isinstance(ending, Answer):
            return
        size = len(msgspec.json.encode(ending.result))
        self._kept[id] = (self._clock() + self._seconds, size, ending)
        self._size += size
        while self._kept and (self._size > KEPT_BYTES or self._oldest_is_over()):
            self._size -= self._kept.popitem(last=False)[1][1]

    def get(self, id: str) -> Answer | None:
        """Return the answer to an id, None where there is none (any more)."""
        until, _, answer = self._kept.get(id, (0.0, 0, None))
        return answer if answer is not None and self._clock() < until else None

    def _oldest_is_over(self) -> bool:
        return next(iter(self._kept.values()))[0] <= self._clock()
