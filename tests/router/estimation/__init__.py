"""Tests of `router/estimation`."""
