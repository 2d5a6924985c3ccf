"""Tests of `streams/control`."""
