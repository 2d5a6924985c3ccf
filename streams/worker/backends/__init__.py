"""Backends: whatever can answer a routed query for one model."""
