"""Tests of `streams/client`."""
