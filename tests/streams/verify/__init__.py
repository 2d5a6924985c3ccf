"""Tests of `streams/verify`."""
