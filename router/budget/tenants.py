"""Limits of tenants beside those of models: a query goes only where both accounts have room.

A policy knows the budgets of models and nothing of tenants. It is called with the reservations that
a tenant's account cannot hold made larger than any budget, and called again from the first query
that finds no room in its tenant's account. Room only shrinks within a batch, so what is settled
stays: the outcome is that of a loop in which each query takes its reservations, in both accounts,
before the next one looks (for policies that decide a query by what came before it, as all but
`batchsplit` do; for that one the limits hold as well).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from router.arrays import Bools, Ints
from router.budget.ledger import Ledger
from router.policies.base import NONE, Batch, Decisions, Policy

BEYOND = np.iinfo(np.int64).max
"""Nano-units that no budget holds."""


def tenant_accounts(
    ledger: Ledger, models: Sequence[str], tenants: Sequence[str | None]
) -> Ints | None:
    """Return the account of each query's tenant for each model.

    Args:
        ledger: With the tenants' accounts.
        models: The M models in order.
        tenants: Of the n queries; None for nobody.

    Returns:
        int64[n, M] account numbers, NONE where a tenant has no limit; None where no query's tenant
        has any.
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
    """Let a policy decide within the budgets of models and tenants.

    Args:
        policy: The policy.
        batch: n queries.
        free: int64[M] nano-units that may still be reserved of each model's budget.
        accounts: int64[n, M], as `tenant_accounts` returns them.
        room: int64[A] nano-units that may still be reserved of each account, by number.
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
    """Find the first query with an account that lacks room for it and is not yet in `short`.

    Returns:
        Its row (n where there is none), and int64[A], what the queries before it leave of `room`.
    """
    n = len(model)
    sent = np.flatnonzero(model != NONE)
    account, amount = accounts[sent, model[sent]], bound[sent, model[sent]]
    drawn = account != NONE
    turn = account[drawn] * n + sent[drawn]  # by account, then by query
    order = np.argsort(turn)
    turn, amount = turn[order], amount[drawn][order]
    total = np.concatenate([[0], amount.cumsum()])

    def used(numbers: Ints, before: Ints) -> Ints:
        """What queries before some others draw on accounts: int64 of the arguments' shape."""
        start, end = (np.searchsorted(turn, numbers * n + row) for row in (0, before))
        drawn: Ints = total[end] - total[start]
        return drawn

    everything = np.arange(len(room))
    left = room - used(everything, np.full(len(room), n))
    # Who has room after all others has it at any turn.
    query, column = np.nonzero((accounts != NONE) & ~short & (bound > left[accounts]))
    wanted = accounts[query, column]
    late = query[bound[query, column] > room[wanted] - used(wanted, query)]
    first = int(late[0]) if len(late) else n
    return first, room - used(everything, np.full(len(room), first))
