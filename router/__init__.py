"""The decision: embed, find neighbours, estimate, price, reserve.

No Kafka, no asyncio, no clock.
"""

import os

# Before numpy is loaded. Fitting an estimator solves dense systems, and the order of BLAS's
# additions, hence the last bits of what is fitted, depends on its number of threads: the same
# command must print the same bytes everywhere. (Estimates from a fitted estimator are exact sums
# and do not depend on it, see `estimation/exact_sums.py`.) One thread is also the fastest here:
# the systems are small, and router processes are as many as cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
