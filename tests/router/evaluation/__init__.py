"""Tests of `router/evaluation`."""
