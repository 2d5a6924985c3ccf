"""Tests of `streams/runtime`."""
