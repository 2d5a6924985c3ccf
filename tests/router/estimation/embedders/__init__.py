"""Tests of `router/estimation/embedders`."""
