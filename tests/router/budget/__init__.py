"""Tests of `router/budget`."""
