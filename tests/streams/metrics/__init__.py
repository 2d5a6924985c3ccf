"""Tests of `streams/metrics`."""
