"""What a router tells the controller of a partition: accounts, samples of arrivals and games."""

from __future__ import annotations

from collections.abc import Sequence

from schemas import ShareReport, ShareUse
from streams.state.partition import Partition


def report(partition: Partition, models: Sequence[str]) -> ShareReport:
    """Make a partition's report. Its lock is held, so everything in it is in the changelog.

    Args:
        partition: The partition.
        models: Names of the models in the index, in their order.
    """
    # Not rounded: prices must tell a query that is worth exactly its price from one that is not.
    (quality, cost, *tokens), tenants, floors = partition.sample.take()
    wanted, smallest = partition.unmet.take()
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
        columns=list(models[: quality.shape[1]]),
        quality=quality.tolist(),
        cost=cost.tolist(),
        waiting=max(partition.waiting, 0),
        tokens=tokens[0].tolist() if tokens else [],
        tenants=[tenant or "" for tenant in tenants] if any(tenants) else [],
        floors=[floor.name for floor in floors],
        games=partition.games.take(),
        token_uses=partition.token_uses.take(),
        image_uses=partition.image_uses.take(),
        outcomes=partition.outcomes.take(),
        in_flight=partition.in_flight.counts(),
    )
