"""What can go wrong with a broker, apart from single records."""

from __future__ import annotations


class BrokerError(RuntimeError):
    """A broker that cannot be started or stopped, or cannot do what it is asked."""
