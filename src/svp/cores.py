"""How many processors this process may use: of a shared machine, a container or a cluster's node often not all."""

import math
import os

from svp.control_group import processors


def usable_cores() -> int:
    """By affinity and by quota, 1 at least; `joblib.cpu_count` says the same, and takes long to import."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(there, processors())))


CORES = usable_cores()
