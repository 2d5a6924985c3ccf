"""Tests."""

import router  # noqa: F401  # before numpy, whose number of threads it sets: estimates depend on it
