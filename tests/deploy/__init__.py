"""Tests of `deploy/`: what operators load into other systems."""
