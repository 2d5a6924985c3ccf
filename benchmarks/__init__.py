"""Measurements, run by hand or by `make bench`: each prints its own baseline and the ratio."""
