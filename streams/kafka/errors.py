"""Errors of a broker, as opposed to those of single records."""

from __future__ import annotations


class BrokerError(RuntimeError):
    """A broker cannot be started or stopped, or cannot do what it is asked to."""
