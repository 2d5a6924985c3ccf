"""A backend for any server that speaks OpenAI's chat completions: vLLM, Ollama, OpenAI itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from random import Random

import msgspec

from router.models.catalog import Model
from schemas.payload_fields import how_to_allow
from schemas.result import TOO_LONG, Result
from schemas.route import Routed
from schemas.usage import text_length
from streams.tracing.context import current, for_http
from streams.worker.backends.base import (
    DEADLINE_EXCEEDED,
    INFERENCE_ERROR,
    INVALID_REQUEST,
    Backend,
    BackendUnavailable,
    failed,
    succeeded,
)
from streams.worker.backends.completion import (
    Completion,
    NoCompletion,
    read_completion,
    read_reason,
    read_retry_after,
    says_too_long,
    without,
)
from streams.worker.backends.http_call import CallFailed, Endpoint, Reply
from streams.worker.backends.request import RequestForm
from streams.worker.backends.spans import begin_call, describe_call

UNAVAILABLE = frozenset({401, 402, 429, 503, 529})
"""Statuses with which a server takes no call at the moment: nothing is charged."""
UNCERTAIN = frozenset({502, 504, *range(520, 529), 530, 598, 599})
"""Statuses of gateways that do not know what became of a call: it may have been charged."""
RETRIED = frozenset({408, 409, 425, 500})
"""Statuses that charge nothing, and after which the same call may succeed."""


SHORTEST_SECRET = 8
"""Characters; shorter values of headers are not looked for in a server's errors."""


@dataclass(frozen=True, slots=True)
class Retries:
    """The retry policy: exponential backoff with full jitter, or what Retry-After says.

    Attributes:
        attempts: calls at most that fail without a charge, and not for the server's absence.
        first: upper bound of the first wait, seconds; it doubles with each attempt.
        longest: upper bound of every wait, seconds. With a Retry-After of more than that the
            query fails, with the status that came with it.
        uncertain: calls beyond the first that may have been charged without an answer. The
            reservation covers them all.
    """

    attempts: int = 5
    first: float = 0.5
    longest: float = 30.0
    uncertain: int = 0

    def backoff(self, attempt: int, random: Random) -> float:
        """Seconds to wait after the given attempt (1, 2, …)."""
        return random.uniform(0, min(self.longest, self.first * 2 ** min(attempt - 1, 16)))


class _Kind(Enum):
    ANSWERED = auto()
    REFUSED = auto()
    RETRIED = auto()
    UNCERTAIN = auto()
    UNAVAILABLE = auto()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one call."""

    kind: _Kind
    status: int
    reason: str = ""
    retry_after: float | None = None
    completion: Completion | None = None
    code: str = INFERENCE_ERROR


@dataclass(slots=True)
class _Progress:
    """Of one query: when it began, its calls, and those that may have been charged in vain."""

    started: float
    calls: int = 0
    uncertain: int = 0


class OpenAI(Backend):
    """Sends chat completions to `base_url` (which ends in /v1), without streaming.

    The query's payload passes through as far as it cannot change the price, with `model` and the
    limit of output tokens set (see `RequestForm`). A call that may have been charged without an
    answer ends the query, charged with its reservation, unless `retries` lets it be made again.
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
        *,
        form: RequestForm | None = None,
        headers: Mapping[str, str] | None = None,
        priced: Model | None = None,
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
            form: how the server wants its requests.
            headers: sent with every request.
            priced: the model's context and prices.
        """
        self._model = model
        sent = [value.strip() for value in (api_key or "", *(headers or {}).values())]
        self._secrets = [value for value in sent if len(value) >= SHORTEST_SECRET]
        self._retries = retries or Retries()
        self._clock = clock
        self._sleep = sleep
        self._random = random or Random()  # noqa: S311
        self._form = form or RequestForm()
        self._priced = priced or Model(model, 0, 0)
        authorization = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._endpoint = Endpoint(
            base_url, {**authorization, **(headers or {})}, timeout, connections
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoint.close()

    async def answer(self, routed: Routed) -> Result:
        """Call until there is an answer, a refusal, no attempt left, or no time for one.

        Raises:
            BackendUnavailable: the server takes no calls, and none has been charged.
        """
        if refused := self._form.refused(routed):
            reason = f"payload.{refused[0]}: {how_to_allow(routed.model, refused)}"
            return failed(routed, 400, INVALID_REQUEST, reason)
        body = msgspec.json.encode(self._form.body(self._model, routed))
        progress = _Progress(self._clock())
        while True:
            progress.calls += 1
            outcome = await self._call(body, routed, progress.calls)
            progress.uncertain += outcome.kind is _Kind.UNCERTAIN
            if outcome.completion is not None and outcome.kind is _Kind.ANSWERED:
                return self._succeeded(routed, progress, outcome.completion)
            if (wait := self._wait(outcome, progress)) is None:
                return self._failed(routed, progress, outcome.status, outcome.code, outcome.reason)
            if outcome.kind is _Kind.UNAVAILABLE and not progress.uncertain:
                raise BackendUnavailable(outcome.reason, outcome.retry_after)
            if self._clock() + wait >= _latest_start(routed):
                reason = f"no time for another call before the deadline; last: {outcome.reason}"
                return self._failed(routed, progress, 504, DEADLINE_EXCEEDED, reason)
            await self._sleep(wait)

    def _wait(self, outcome: _Outcome, progress: _Progress) -> float | None:
        """Seconds to wait before the next call; None where there must be none."""
        retries, asked = self._retries, outcome.retry_after or 0.0
        wait = max(asked, retries.backoff(progress.calls, self._random))
        if outcome.kind is _Kind.UNAVAILABLE:
            return wait if progress.uncertain else 0.0
        if outcome.kind is _Kind.UNCERTAIN:
            return wait if progress.uncertain <= retries.uncertain else None
        if outcome.kind is _Kind.RETRIED:
            allowed = progress.calls < retries.attempts and asked <= retries.longest
            return wait if allowed else None
        return None

    async def _call(self, body: bytes, routed: Routed, attempt: int) -> _Outcome:
        span = begin_call(self._model, self._endpoint, routed, attempt)
        try:
            outcome = await self._ask(body, routed, for_http(span.carried(current())))
            describe_call(span, outcome.status, outcome.reason, outcome.completion)
            return outcome
        except BaseException as error:
            span.fail(type(error).__name__)
            raise
        finally:
            span.end()

    async def _ask(self, body: bytes, routed: Routed, headers: Mapping[str, str]) -> _Outcome:
        left = None if routed.deadline is None else routed.deadline - self._clock()
        try:
            reply = await self._endpoint.post(body, left, headers)
        except CallFailed as failure:
            reason = without(self._secrets, str(failure))
            if not failure.left:
                return _Outcome(_Kind.UNAVAILABLE, 503, reason)
            if not failure.timed_out:
                return _Outcome(_Kind.UNCERTAIN, 502, reason)
            too_late = left is not None and left <= self._endpoint.timeout
            code = DEADLINE_EXCEEDED if too_late else INFERENCE_ERROR
            return _Outcome(_Kind.UNCERTAIN, 504, reason, code=code)
        asked = routed.prompt if routed.payload is None else routed.payload.get("messages")
        return self._outcome(reply, text_length(asked))

    def _outcome(self, reply: Reply, asked: int) -> _Outcome:
        """Classify an answer to so many characters."""
        status, completion = reply.status, None
        if 200 <= status < 300:
            try:
                completion = read_completion(reply.data, self._priced.context, asked)
            except NoCompletion as error:
                reason = f"the answer is not a chat completion: {error}"
                return _Outcome(_Kind.UNCERTAIN, 502, reason)
            if completion.failure is None:
                return _Outcome(_Kind.ANSWERED, status, completion=completion)
            status = completion.failure
        reason = read_reason(reply.data, self._secrets)
        if status == 401:
            reason = f"{self._endpoint.name} refuses the API key: {reason}"
        retry_after = read_retry_after(reply.headers, self._clock())
        too_long = says_too_long(status, reply.data)
        if too_long and status in UNAVAILABLE:  # as a probe, this query would fail for ever
            status = 413
        kind, code = _kind(status), INFERENCE_ERROR
        if kind is _Kind.REFUSED:
            code = TOO_LONG if too_long else INVALID_REQUEST
        return _Outcome(kind, min(status, 599), reason, retry_after, code=code)

    def _succeeded(self, routed: Routed, progress: _Progress, completion: Completion) -> Result:
        usage, cost = completion.usage, None
        if usage is None:
            cost = self._reserved(routed, progress.uncertain + 1)
        elif progress.uncertain:
            tokens = usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens
            cost = self._reserved(routed, progress.uncertain) + self._priced.cost(*tokens)
        return succeeded(
            routed,
            usage=usage,
            cost=cost,
            estimated=cost is not None,
            response=completion.response,
            duration=self._since(progress),
            attempts=progress.calls,
        )

    def _failed(
        self, routed: Routed, progress: _Progress, status: int, code: str, reason: str
    ) -> Result:
        charged = self._reserved(routed, progress.uncertain)
        spent = self._since(progress)
        return failed(routed, status, code, reason, charged, progress.calls, spent)

    def _reserved(self, routed: Routed, calls: int) -> int:
        """Nano-units reserved for so many calls, of all that may be charged without an answer."""
        return -(-routed.reserved * calls // (1 + self._retries.uncertain))

    def _since(self, progress: _Progress) -> float:
        return max(self._clock() - progress.started, 0.0)


def _kind(status: int) -> _Kind:
    """What an HTTP status other than success means for the query."""
    if status in UNAVAILABLE:
        return _Kind.UNAVAILABLE
    if status in UNCERTAIN or status < 200:
        return _Kind.UNCERTAIN
    return _Kind.RETRIED if status in RETRIED or status >= 500 else _Kind.REFUSED


def _latest_start(routed: Routed) -> float:
    """Unix seconds before which a call must start."""
    return min(
        (moment for moment in (routed.deadline, routed.start_by) if moment is not None),
        default=float("inf"),
    )
