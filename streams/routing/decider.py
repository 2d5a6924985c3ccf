"""The immutable value that decides: it is replaced as a whole, never changed."""

from __future__ import annotations

from dataclasses import dataclass

from router.arrays import Bools
from router.budget.limits import LimitSet
from router.estimation.scorer import QueryScorer
from router.policies.base import Policy
from router.policies.floors import Floors


@dataclass(frozen=True, slots=True)
class Decider:
    """Everything that decisions depend on beside the partition, the records and the clock.

    Nobody changes what it holds, the policy included: new prices come with a new policy.

    Attributes:
        scorer: Estimates quality and cost of queries, by a version of the index.
        policy: Chooses models; it knows those of `scorer.catalog`.
        limits: What each limit covers; a model added at run time has its own.
        open: bool[M], the models that accept new queries.
        price_version: Version of the policy's prices; 0 are those made from history.
        control_version: Version of the commands that `open` and `tenants` follow from.
        tenants: Names of the accounts of single tenants that are limited by configuration or
            command.
        floors: The quality floors in force; None where the policy keeps none.
    """

    scorer: QueryScorer
    policy: Policy
    limits: LimitSet
    open: Bools
    price_version: int = 0
    control_version: int = 0
    tenants: frozenset[str] = frozenset()
    floors: Floors | None = None
