"""Tests of `streams/config`."""
