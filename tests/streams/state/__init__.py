"""Tests of `streams/state`."""
