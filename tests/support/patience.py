"""How long a test waits for what may never come."""

PATIENCE = 180.0
"""Seconds: far above what anything takes, also on a machine with other work. How fast something is,
the benchmarks say."""
