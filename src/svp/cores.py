"""How many processors this process may use: of a shared machine or a cluster's node often not all."""

import os

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
