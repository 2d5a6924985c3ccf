"""What a router tells the controller of a partition: its accounts, and a sample of arrivals."""

from __future__ import annotations

import numpy as np

from schemas import ShareReport, ShareUse
from streams.state.partition import Partition


def report(partition: Partition) -> ShareReport:
    """Make a partition's report. Its lock is held, so everything in it is in the changelog."""
    quality, cost = partition.sample.take()
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
        waiting=max(partition.waiting, 0),
    )
