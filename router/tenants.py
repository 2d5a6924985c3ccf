"""Limits of tenants beside those of models: a query goes only where both accounts have room.

A policy knows the budgets of models and nothing of tenants. So it is asked with the reservations
that a tenant's account cannot hold made larger than any budget, and asked again from the first
query on that its answer leaves without room. As room only shrinks within a batch, what is settled
stays: the outcome is that of a loop in which each query takes its reservations, in both accounts,
before the next one looks (for policies that decide a query by what came before it, as all but
`batchsplit` do; for that one the limits hold as well).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from router.arrays import Bools, Ints
from router.ledger import Ledger
from router.policies.base import NONE, Batch, Decisions, Policy

BEYOND = np.iinfo(np.int64).max
"""Nano-units that no budget holds."""


def tenant_accounts(
    ledger: Ledger, models: Sequence[str], tenants: Sequence[str | None]
) -> Ints | None:
    """int64[n, M]: the number of the account that each query's tenant has for each model, NONE
    where it has no limit; None where no query's tenant has any.

    models: the M names in order; tenants: of the n queries.
    """
    if not ledger.tenants or not any(tenant in ledger.tenants for tenant in tenants):
        return None
    none: dict[str, int] = {}
    rows = {
        tenant: [ledger.tenants.get(tenant or "", none).get(model, NONE) for model in models]
        for tenant in dict.fromkeys(tenants)
    }
    return np.array([rows[tenant] for tenant in tenants], dtype=np.int64)


def route(policy: Policy, batch: Batch, free: Ints, accounts: Ints | None, room: Ints) -> Decisions:
    """Let a policy decide, within `free` int64[M] of the models and `room` of the tenants.

    accounts: as `tenant_accounts` gives them; room: int64[A], what may still be reserved of every
    account of the ledger, by number.
    """
    if accounts is None:
        return policy.route(batch, free)
    limited = accounts != NONE
    short = limited & (batch.bound > room[accounts])
    while True:
        bound = np.where(short, BEYOND, batch.bound)
        decisions = policy.route(replace(batch, bound=bound), free)
        first, left = _first_without_room(batch.bound, accounts, room, decisions.model, short)
        if first == len(limited):
            return decisions
        short[first:] |= limited[first:] & (batch.bound[first:] > left[accounts[first:]])


def _first_without_room(
    bound: Ints, accounts: Ints, room: Ints, model: Ints, short: Bools
) -> tuple[int, Ints]:
    """The first query with an account that has no room for it and is not known as `short`, and
    what those before it leave of `room`; n where there is none."""
    taken = np.flatnonzero(model != NONE)
    account = accounts[taken, model[taken]]
    taken, account = taken[account != NONE], account[account != NONE]
    amount = bound[taken, model[taken]]
    first, n = len(model), len(model)
    for one in np.unique(account):
        rows, amounts = taken[account == one], amount[account == one]
        before = np.zeros(n + 1, dtype=np.int64)
        before[rows + 1] = amounts
        left = room[one] - before.cumsum()[:n]
        late = (accounts == one) & ~short & (bound > left[:, None])
        found = np.flatnonzero(late.any(axis=1))
        first = min(first, int(found[0])) if len(found) else first
    left = room.copy()
    earlier = taken < first
    np.subtract.at(left, account[earlier], amount[earlier])
    return first, left
