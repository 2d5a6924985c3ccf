"""The decision: embed, find neighbours, estimate, price, reserve.

No Kafka, no asyncio, no clock.
"""

import os

# Before numpy is loaded. One thread a process: routers are many and cores few. And always the same
# number, because the order of a product's additions depends on it, and a replay must find the same.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
