"""Tests of `router.models`."""
