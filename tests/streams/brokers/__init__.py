"""Tests of `streams/brokers`."""
