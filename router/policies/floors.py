"""Quality floors: the mean score that answers are to reach, of whom, and how each is called."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

PARTS = 100
"""Floors of single queries are whole multiples of 1/PARTS."""


class Floor(NamedTuple):
    """One floor. Queries that share it are kept to it together, by one virtual queue.

    Attributes:
        value: τ, the mean score to reach, 0 to 1.
        tenant: Whose own floor it is; "" for nobody's.
    """

    value: float
    tenant: str = ""

    @property
    def name(self) -> str:
        """Its name on the wire: its value, and its tenant after a slash."""
        return f"{self.value:g}/{self.tenant}" if self.tenant else f"{self.value:g}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the floor of a name.

        Raises:
            ValueError: It is none.
        """
        value, _, tenant = name.partition("/")
        found = cls(float(value), tenant)
        if not 0 <= found.value <= 1:
            raise ValueError(f"a floor is from 0 to 1, not {value}")
        return found


@dataclass(frozen=True, slots=True)
class Floors:
    """The floors in force.

    Attributes:
        usual: Of queries that have no other.
        tenants: By tenant, of those that have their own.
    """

    usual: float
    tenants: Mapping[str, float] = field(default_factory=dict)

    def of(self, tenant: str | None, asked: float | None) -> Floor:
        """Return the floor of a query: what it asks for itself, else its tenant's, else the usual.

        Args:
            tenant: On whose behalf it is sent.
            asked: The query's own; rounded up to a multiple of 1/PARTS.
        """
        if asked is not None:
            return Floor(math.ceil(round(asked * PARTS, 6)) / PARTS)
        if tenant is not None and tenant in self.tenants:
            return Floor(self.tenants[tenant], tenant)
        return Floor(self.usual)
