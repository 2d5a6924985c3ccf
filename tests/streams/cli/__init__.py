"""Tests of `streams/cli`."""
