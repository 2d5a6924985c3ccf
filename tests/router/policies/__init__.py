"""Tests of `router/policies`."""
