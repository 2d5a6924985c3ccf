"""Tests."""

import router  # noqa: F401  # before numpy: it sets the number of BLAS threads, on which fits depend
