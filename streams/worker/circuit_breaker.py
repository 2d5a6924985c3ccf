"""One pause per backend, shared by all its queries, while its server takes no calls."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from enum import Enum
from random import Random

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.5
"""Seconds before the first probe, where the server does not say; doubles with each in vain."""
LONGEST_PAUSE = 30.0
"""Seconds between two probes at most, where the server does not say."""
LONGEST_RETRY_AFTER = 86_400.0
"""Seconds; a server that asks for more is probed once a day all the same."""


class Permit(Enum):
    """What a call is to the breaker."""

    CALL = "one of many, while the backend is up"
    PROBE = "the only one, while it is down"


class CircuitBreaker:
    """Lets calls through while a backend is up, and one probe at a time while it is down.

    Down is a backend whose server has refused a call without doing anything for it (no
    connection, 429, 503), or has left `patience` calls in a row without an answer. It is up again
    when a probe has been answered, whatever the answer.
    """

    def __init__(
        self,
        name: str,
        patience: int = 16,
        changed: Callable[[], None] = lambda: None,
        random: Random | None = None,
    ) -> None:
        """Begin with a backend that is up.

        Args:
            name: of the backend, for the log.
            patience: calls in a row without an answer after which a backend counts as down.
            changed: called when the backend goes down or comes up.
            random: draws the jitter.
        """
        self.is_up = True
        self._name = name
        self._patience = patience
        self._on_change = changed
        self._random = random or Random()  # noqa: S311
        self._unanswered = 0
        self._pauses = 0
        self._probing = False
        self._probe_at = 0.0
        self._down_since = 0.0
        self._wake = asyncio.Event()

    async def admit(self, timeout: float | None) -> Permit | None:
        """Wait until a call may be made, at most `timeout` seconds; None for ever.

        Returns:
            The permit, to be given back to one of the other methods after the call; None where
            none was to be had in time.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while not self.is_up:
            now = time.monotonic()
            if end is not None and now >= end:
                return None
            if not self._probing and now >= self._probe_at:
                self._probing = True
                return Permit.PROBE
            waits = [] if end is None else [end - now]
            waits += [] if self._probing else [self._probe_at - now]
            try:
                async with asyncio.timeout(min(waits, default=None)):
                    await self._wake.wait()
            except TimeoutError:
                continue
        return Permit.CALL

    def answered(self, permit: Permit) -> None:
        """Note that the server has answered a call."""
        self._unanswered = 0
        if permit is Permit.PROBE:
            self._probing, self.is_up, self._pauses = False, True, 0
            down = time.monotonic() - self._down_since
            logger.warning("%s: its server answers again, after %.0f seconds", self._name, down)
            self._changed()

    def unanswered(self, permit: Permit) -> None:
        """Note that the server took a call and gave no usable answer."""
        self._unanswered += 1
        if permit is Permit.PROBE or self._unanswered >= self._patience:
            self.unavailable(permit, f"no answer to {self._unanswered} calls in a row", None)

    def unavailable(self, permit: Permit, reason: str, retry_after: float | None) -> None:
        """Note that the server took no call.

        Args:
            permit: of the call.
            reason: for the log.
            retry_after: seconds that the server asks to wait; None where it does not say.
        """
        went_down = self.is_up
        if went_down:
            self.is_up, self._down_since = False, time.monotonic()
        if went_down or permit is Permit.PROBE:
            self._pauses += 1
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._pauses - 1, 10))
        wait = self._random.uniform(longest / 2, longest)
        if retry_after is not None:
            wait = max(wait, min(retry_after, LONGEST_RETRY_AFTER))
        self._probe_at = max(self._probe_at, time.monotonic() + wait)
        if permit is Permit.PROBE:
            self._probing = False
        if went_down:
            logger.warning(
                "%s: its server takes no calls (%s); queries wait until one is answered, "
                "the first try is in %.1f seconds",
                self._name,
                reason,
                wait,
            )
        self._changed()

    def abandoned(self, permit: Permit) -> None:
        """Note that a call was cancelled: it tells nothing of the server."""
        if permit is Permit.PROBE:
            self._probing = False
            self._changed()

    def _changed(self) -> None:
        """Let those who wait look again."""
        self._wake.set()
        self._wake = asyncio.Event()
        self._on_change()
