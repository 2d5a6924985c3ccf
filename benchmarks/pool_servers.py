"""Servers with a bounded cache, and requests of published lengths: what `pools` simulates.

A server decodes all its running requests together, one token each a step. A request holds cache
for its prompt and for each token it has written; when the cache is full, the youngest is preempted
and computed again. Figures of the machine are those of Llama-3-70B on four A100-80GB by their
specifications (bytes and operations, not measured): 140 GB of weights, 0.33 MB of cache a token,
8 TB/s, 1.25 PFLOP/s at half use.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from router.arrays import Floats, Ints

CACHE = 450_000
"""Tokens: nine tenths of 320 GB less the weights."""
STEP = 0.030
"""Seconds of a step: reading the weights, and 12 ms for all else."""
STEP_TOKEN = 4.1e-8
"""Seconds a step takes longer for each token in the cache."""
PREFILL = 2.2e-4
"""Seconds for each token of a prompt."""
MARGIN = 0.01
"""Part of the cache that stays free when a request is taken beside others, for these to grow."""


class Lengths(NamedTuple):
    """n requests: tokens of prompts, of answers, and the longest answers that are asked for."""

    prompt: Ints
    answer: Ints
    allowed: Ints


class Request(NamedTuple):
    """One request on its way through a server."""

    number: int
    prompt: int
    answer: int
    arrived: float
    again: bool = False


@dataclass
class Server:
    """One server.

    Attributes:
        slots: Requests that run at a time.
        cache: Tokens that the cache holds.
        clock: Seconds.
        preempted: Number of preemptions.
        first: Seconds until the first token, by request number.
    """

    slots: int
    cache: int = CACHE
    clock: float = 0.0
    preempted: int = 0
    first: dict[int, float] = field(default_factory=dict)
    _waiting: deque[Request] = field(default_factory=deque)
    _running: dict[int, tuple[Request, int]] = field(default_factory=dict)
    _ends: list[tuple[int, int]] = field(default_factory=list)
    _step: int = 0
    _used: int = 0

    def __len__(self) -> int:
        """Requests that run or wait."""
        return len(self._running) + len(self._waiting)

    def take(self, request: Request) -> None:
        """Queue a request that arrives at the clock's time or later."""
        self._waiting.append(request)

    def advance(self, until: float) -> None:
        """Work until a time, or until nothing is left."""
        while self.clock < until and len(self):
            self._admit()
            if not self._running:
                self.clock = max(self.clock, min(until, self._waiting[0].arrived))
                continue
            steps = self._ends[0][0] - self._step
            room = (self.cache - self._used) // len(self._running)
            if room < 1 < len(self._running):
                self._preempt()
                continue
            seconds = STEP + STEP_TOKEN * self._used
            left = int(-(-(until - self.clock) // seconds)) if until < np.inf else steps
            steps = max(1, min(steps, max(room, 1), left))
            self._step += steps
            self._used += steps * len(self._running)
            self.clock += steps * seconds
            self._finish()

    def _admit(self) -> None:
        while self._waiting and len(self._running) < self.slots:
            request = self._waiting[0]
            room = (1 - MARGIN) * self.cache - self._used if self._running else self.cache
            if request.arrived > self.clock or request.prompt > room:
                return
            self._waiting.popleft()
            self.clock += PREFILL * request.prompt
            if not request.again:
                self.first[request.number] = self.clock - request.arrived
            self._running[request.number] = request, self._step
            heapq.heappush(self._ends, (self._step + request.answer, request.number))
            self._used += request.prompt

    def _finish(self) -> None:
        while self._ends and self._ends[0][0] <= self._step:
            _, number = heapq.heappop(self._ends)
            self._leave(number)

    def _preempt(self) -> None:
        number = next(reversed(self._running))
        request, begun = self._leave(number)
        written = self._step - begun
        self._ends = [end for end in self._ends if end[1] != number]
        heapq.heapify(self._ends)
        self._waiting.appendleft(
            request._replace(
                prompt=request.prompt + written, answer=request.answer - written, again=True
            )
        )
        self.preempted += 1

    def _leave(self, number: int) -> tuple[Request, int]:
        request, begun = self._running.pop(number)
        self._used -= request.prompt + self._step - begun
        return request, begun


def azure(random: np.random.Generator, n: int, most: int, answers: float = 0.1) -> Lengths:
    """Return lengths of which 80 % are within 2,048 tokens and 92 % within 8,192, as published.

    The log-normal total through these two points, cut at `most`; `answers` is the mean part of it
    that is the answer: a tenth is about that of the traces' conversations (medians 1,020 and 129).
    Both choices are ours.
    """
    total = np.exp(5.554 + 2.460 * random.normal(size=4 * n))
    total = total[(total >= 8) & (total <= 0.9 * most)][:n]
    answer = total * random.beta(20 * answers, 20 * (1 - answers), len(total))
    return _lengths(total - answer, answer, most)


def azure_writing(random: np.random.Generator, n: int, most: int) -> Lengths:
    """Return lengths as `azure`, half of each the answer."""
    return azure(random, n, most, 0.5)


def lmsys(random: np.random.Generator, n: int, most: int) -> Lengths:
    """Return lengths of mean 69.5 (prompt) and 214.5 (answer), as published; log-normal is ours."""
    prompt = np.exp(np.log(69.5) - 1.2**2 / 2 + 1.2 * random.normal(size=n))
    answer = np.exp(np.log(214.5) - 1.0**2 / 2 + 1.0 * random.normal(size=n))
    return _lengths(np.minimum(prompt, most / 2), np.minimum(answer, most / 4), most)


def _lengths(prompt: Floats, answer: Floats, most: int) -> Lengths:
    """Round lengths. A client asks for the next power of two, 256 at least."""
    whole = [np.maximum(np.rint(one), 1).astype(np.int64) for one in (prompt, answer)]
    power = 2 ** np.ceil(np.log2(np.maximum(whole[1], 256))).astype(np.int64)
    return Lengths(whole[0], whole[1], np.minimum(power, most - whole[0]))
