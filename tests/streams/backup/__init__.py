"""Tests of `streams/backup`."""
