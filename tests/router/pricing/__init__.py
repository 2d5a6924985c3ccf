"""Tests of `router/pricing`."""
