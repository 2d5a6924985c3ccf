"""What a router tells the controller of a partition: its accounts, and a sample of arrivals."""

from __future__ import annotations

import numpy as np

from router.arrays import Floats
from schemas import ShareReport, ShareUse
from streams.state.partition import Partition

SAMPLE = 250
"""So many estimates a report carries at most: the newest."""


class Sample:
    """The newest estimates of a partition since its last report."""

    def __init__(self) -> None:
        self._quality: list[Floats] = []
        self._cost: list[Floats] = []
        self._count = 0

    def add(self, quality: Floats, cost: Floats) -> None:
        """Take in estimates: float64[n, M] each, cost in nano-units."""
        self._quality.append(quality[-SAMPLE:])
        self._cost.append(cost[-SAMPLE:])
        self._count += len(self._quality[-1])
        while self._count - len(self._quality[0]) >= SAMPLE:
            self._count -= len(self._quality.pop(0))
            self._cost.pop(0)

    def take(self) -> tuple[Floats, Floats]:
        """Return what was gathered, float64[n, M] twice, n at most SAMPLE, and begin anew."""
        if not self._quality:
            empty = np.empty((0, 0))
            return empty, empty
        quality = np.concatenate(self._quality)[-SAMPLE:]
        cost = np.concatenate(self._cost)[-SAMPLE:]
        self._quality, self._cost, self._count = [], [], 0
        return quality, cost


def report(partition: Partition, sample: Sample) -> ShareReport:
    """Make a partition's report; its lock is held, so all that it tells is in the changelog."""
    quality, cost = sample.take()
    wanted, smallest = partition.unmet.take()
    names = partition.ledger.names
    return ShareReport(
        partition=partition.number,
        sequence=partition.sequence,
        arrivals=partition.arrivals,
        granted=partition.granted,
        models={
            name: ShareUse(
                share=account.share,
                reserved=account.reserved,
                spent=account.spent,
                window=account.window,
                carried=account.carried,
                wanted=int(wanted[i]),
                smallest=int(smallest[i]),
            )
            for i, (name, account) in enumerate(partition.ledger.accounts().items())
        },
        columns=[names[i] for i in partition.ledger.models[: quality.shape[1]]],
        quality=np.round(quality, 6).tolist(),
        cost=np.round(cost).tolist(),
    )
