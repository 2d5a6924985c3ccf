"""Calls a model's backend when its server takes calls, in the time that a reservation leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import structs

from schemas.result import Result
from schemas.route import Routed
from streams.worker.backends.base import (
    DEADLINE_EXCEEDED,
    INFERENCE_ERROR,
    Backend,
    BackendUnavailable,
    failed,
)
from streams.worker.call_starts import CallStarts
from streams.worker.circuit_breaker import CircuitBreaker, Permit
from streams.worker.jobs import Job


class GivenBack(Exception):
    """The time to begin is over, and the router has been told that no call is made."""


class Caller:
    """Makes the calls of one worker.

    A call starts only while its query's deadline and `start_by` lie ahead, and is cut before its
    reservation is released. That it starts is announced first, so that its reservation is held if
    this process stands still meanwhile. While the server takes no calls, queries wait for one
    another's probe.
    """

    def __init__(
        self,
        backend: Backend,
        breaker: CircuitBreaker,
        clock: Callable[[], float],
        clock_margin: float,
        starts: CallStarts,
    ) -> None:
        """Call nobody yet.

        Args:
            backend: answers the queries.
            breaker: of this backend.
            clock: Unix time in seconds.
            clock_margin: seconds before a reservation is released at which its call is cut.
            starts: announces calls, and knows of those that others have begun.
        """
        self._starts = starts
        self._backend = backend
        self._breaker = breaker
        self._clock = clock
        self._margin = clock_margin

    async def answer(self, job: Job, is_current: Callable[[Job], bool]) -> Result | None:
        """Answer a query, as soon as the server takes calls and while there is time.

        Args:
            job: the query; it counts as started during calls.
            is_current: whether a job is still this worker's.

        Returns:
            The result; None for a job that was given back before a call was made.

        Raises:
            GivenBack: the router decides the query again.
            Exception: whatever the backend raises, BackendUnavailable excepted.
        """
        routed = job.routed
        while is_current(job):
            left = self._latest_start(routed) - self._clock()
            permit = await self._breaker.admit(None if left == float("inf") else left)
            if permit is None:
                return await self._never_started(job)
            await self._begin(permit, job)
            late = self._clock() >= self._latest_start(routed)
            if late or not is_current(job):
                self._breaker.abandoned(permit)
                return await self._never_started(job) if late else None
            job.started = True
            if (result := await self._call(permit, routed)) is not None:
                return result
            job.started = False
        return None

    async def close(self) -> None:
        """Close the backend."""
        await self._backend.close()

    async def _begin(self, permit: Permit, job: Job) -> None:
        """Announce a call that there is time for, once."""
        routed = job.routed
        is_late = self._clock() >= self._latest_start(routed)
        if is_late or job.announced or routed.release_at is None:
            return
        try:
            await self._starts.announce(routed)
        except asyncio.CancelledError:
            self._breaker.abandoned(permit)
            raise
        job.announced = True

    async def _call(self, permit: Permit, routed: Routed) -> Result | None:
        """Make one call. None where the server took none."""
        left = None
        if routed.release_at is not None:
            end_by = max(routed.release_at - self._margin, routed.start_by or 0.0)
            routed = structs.replace(routed, deadline=min(routed.deadline or end_by, end_by))
            left = end_by + self._margin / 4 - self._clock()  # the backend should end by itself
        try:
            async with asyncio.timeout(left) as cut:
                result = await self._backend.answer(routed)
        except BackendUnavailable as unavailable:
            self._breaker.unavailable(permit, unavailable.reason, unavailable.retry_after)
            return None
        except BaseException as error:
            if isinstance(error, TimeoutError) and cut.expired():
                self._breaker.unanswered(permit)
                reason = "the call was cut: its reservation is about to be released"
                return failed(routed, 504, DEADLINE_EXCEEDED, reason, routed.reserved)
            self._breaker.abandoned(permit)
            raise
        if result.error is not None and result.error.code in (INFERENCE_ERROR, DEADLINE_EXCEEDED):
            self._breaker.unanswered(permit)
        else:
            self._breaker.answered(permit)
        return result

    async def _never_started(self, job: Job) -> Result:
        """The result of a query whose time was over before a call.

        It costs nothing, unless another worker has begun a call and has not told of its end. Where
        the query itself has time left it is given back: the router decides it again, unless it has
        ended it meanwhile.
        """
        routed = job.routed
        fate = "unknown" if routed.release_at is None else await self._starts.fate(routed)
        if fate == "returned":  # by a worker that had it while this one stood still
            raise GivenBack
        if fate == "begun" and not job.announced:
            reason = "another worker began the call and has told nothing of it since"
            return failed(routed, 504, DEADLINE_EXCEEDED, reason, routed.reserved)
        now = self._clock()
        if routed.release_at is not None and now < (routed.deadline or now + 1):
            await self._starts.give_back(routed)
            raise GivenBack
        latest = self._latest_start(routed)
        late = self._clock() - latest
        kind = "deadline" if latest == routed.deadline else "start_by"
        reason = f"never started: its {kind} passed {late:.3f} seconds before a call"
        return failed(routed, 504, DEADLINE_EXCEEDED, reason)

    def _latest_start(self, routed: Routed) -> float:
        """Unix seconds before which a call must start."""
        moments = [routed.deadline, routed.start_by]
        if routed.release_at is not None:
            moments.append(max(routed.release_at - self._margin, routed.start_by or 0.0))
        return min((moment for moment in moments if moment is not None), default=float("inf"))
