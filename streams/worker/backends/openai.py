"""A backend for any server that speaks OpenAI's chat completions: vLLM, Ollama, OpenAI itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from random import Random
from typing import Any

import httpx
import msgspec

from schemas.result import Result, Usage
from schemas.route import Routed
from streams.worker.backends.base import (
    DEADLINE_EXCEEDED,
    INFERENCE_ERROR,
    INVALID_REQUEST,
    Backend,
    BackendBroken,
    failed,
    succeeded,
)

RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same call may succeed."""
LONGEST_ANSWER = 16 * 2**20
"""Bytes; the rest of a longer answer is not read."""
LONGEST_REASON = 500
"""Characters of a provider's error message that are passed on."""


@dataclass(frozen=True, slots=True)
class Retries:
    """The retry policy: exponential backoff with full jitter, or what Retry-After says.

    Attributes:
        attempts: calls at most.
        first: upper bound of the first wait, seconds; it doubles with each attempt.
        longest: upper bound of every wait, seconds. With a Retry-After of more than that the
            query fails, with the status that came with it.
    """

    attempts: int = 5
    first: float = 0.5
    longest: float = 30.0

    def wait(self, attempt: int, retry_after: float | None, random: Random) -> float | None:
        """Seconds to wait after the given attempt (1, 2, …), or None to give up."""
        if attempt >= self.attempts:
            return None
        if retry_after is not None:
            return retry_after if retry_after <= self.longest else None
        return random.uniform(0, min(self.longest, self.first * 2 ** (attempt - 1)))


class OpenAI(Backend):
    """Sends chat completions to `base_url` (which ends in /v1), without streaming.

    The query's payload passes through with `model` set, its output tokens limited to what was
    reserved, and one choice only (`n` = 1, for more would cost more than the reservation). A
    prompt becomes one user message. A call that timed out may have been charged and is made
    again; where no attempt succeeds, the result says that the whole reservation was spent.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key: str | None = None,
        timeout: float = 120.0,
        retries: Retries | None = None,
        connections: int = 16,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        """Open no connection yet.

        Args:
            model: as the server calls it.
            base_url: the server's address, which ends in /v1.
            api_key: from the environment; never logged, nor passed on with a server's error.
            timeout: seconds for one attempt.
            retries: the retry policy.
            connections: to the server at most.
            clock: Unix time in seconds.
            sleep: waits between attempts.
            random: draws the jitter.
        """
        self._model = model
        self._key = api_key
        self._retries = retries or Retries()
        self._clock = clock
        self._sleep = sleep
        self._random = random or Random()  # noqa: S311
        self._client = httpx.AsyncClient(
            base_url=base_url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=timeout,
            limits=httpx.Limits(max_connections=connections),
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def answer(self, routed: Routed) -> Result:
        """Call until there is an answer, a refusal, no attempt left, or the deadline has passed.

        Raises:
            BackendBroken: the server does not accept the key.
        """
        body = self.body(routed)
        started = self._clock()
        charged = 0
        attempt = 0
        while True:
            attempt += 1
            retry_after: float | None = None
            try:
                status, headers, data = await self._call(body, routed.deadline)
            except httpx.TimeoutException:
                status, reason, charged = 504, "no answer in time", routed.reserved
            except httpx.ConnectError as error:
                status, reason = 503, f"cannot connect: {error}"
            except httpx.HTTPError as error:
                status, reason, charged = 502, f"the connection broke: {error!r}", routed.reserved
            else:
                if status < 300:
                    return self._read(routed, data, attempt, self._since(started))
                reason = self._reason(data)
                retry_after = _retry_after(headers, self._clock())
            if status == 401:
                raise BackendBroken(f"{self._client.base_url} refuses the API key: {reason}")
            spent = self._since(started)
            wait = self._retries.wait(attempt, retry_after, self._random)
            late = routed.deadline is not None and self._clock() + (wait or 0) >= routed.deadline
            if late and status in RETRIED:
                reason = f"no time for attempt {attempt + 1} before the deadline; last: {reason}"
                return failed(routed, 504, DEADLINE_EXCEEDED, reason, charged, attempt, spent)
            if wait is None or status not in RETRIED:
                code = INFERENCE_ERROR if status in RETRIED else INVALID_REQUEST
                return failed(routed, min(status, 599), code, reason, charged, attempt, spent)
            await self._sleep(wait)

    def body(self, routed: Routed) -> dict[str, Any]:
        """The request for a routed query."""
        if routed.payload is None:
            body: dict[str, Any] = {"messages": [{"role": "user", "content": routed.prompt}]}
        else:
            body = {k: v for k, v in routed.payload.items() if k not in _OURS}
        newer = routed.payload is not None and "max_completion_tokens" in routed.payload
        body["max_completion_tokens" if newer else "max_tokens"] = routed.max_tokens
        body["model"] = self._model
        body["stream"] = False
        return body

    async def _call(
        self, body: dict[str, Any], deadline: float | None
    ) -> tuple[int, httpx.Headers, bytes]:
        """One attempt: status, headers, and at most LONGEST_ANSWER bytes."""
        data = bytearray()
        left = None if deadline is None else max(deadline - self._clock(), 0.001)
        try:
            async with (
                asyncio.timeout(left),
                self._client.stream("POST", "chat/completions", json=body) as response,
            ):
                async for part in response.aiter_bytes():
                    data += part
                    if len(data) > LONGEST_ANSWER:
                        break
        except TimeoutError as error:
            raise httpx.ReadTimeout("the deadline has passed") from error
        return response.status_code, response.headers, bytes(data)

    def _since(self, started: float) -> float:
        return max(self._clock() - started, 0.0)

    def _read(self, routed: Routed, data: bytes, attempt: int, duration: float) -> Result:
        try:
            answer = msgspec.json.decode(data)
            usage = _usage(answer)
        except (AttributeError, RecursionError, TypeError, ValueError) as error:
            message = f"the answer is not a chat completion: {error}"
            return failed(routed, 502, INFERENCE_ERROR, message, routed.reserved, attempt, duration)
        return succeeded(
            routed,
            usage=usage,
            cost=routed.reserved if usage is None else None,
            response=answer,
            duration=duration,
            attempts=attempt,
        )

    def _reason(self, data: bytes) -> str:
        """A server's error message, short and without the key."""
        try:
            error = msgspec.json.decode(data)["error"]
            text = str(error["message"] if isinstance(error, dict) else error)
        except (KeyError, RecursionError, TypeError, ValueError):
            text = data.decode(errors="replace")
        if self._key:
            text = text.replace(self._key, "***")
        return text[:LONGEST_REASON] or "the server gave no reason"


_OURS = frozenset({"model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n"})
"""Fields of a payload that the worker sets."""


def _usage(answer: dict[str, Any]) -> Usage | None:
    """The usage that the server reports; None where it reports none."""
    if not isinstance(answer.get("choices"), list):
        raise ValueError("it has no list of choices")
    used = answer.get("usage")
    if used is None:
        return None
    return msgspec.convert(
        {
            "prompt_tokens": used.get("prompt_tokens", 0),
            "completion_tokens": used.get("completion_tokens", 0),
            "cached_tokens": (used.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
            "reasoning_tokens": (used.get("completion_tokens_details") or {}).get(
                "reasoning_tokens"
            )
            or 0,
        },
        Usage,
    )


def _retry_after(headers: httpx.Headers, now: float) -> float | None:
    """Seconds, from a header that holds seconds or a date; None where it is absent or garbled."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(value).timestamp() - now, 0.0)
    except ValueError:
        return None
