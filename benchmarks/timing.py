"""Paired timing: two functions in turn, so that a machine whose speed drifts does not favour one."""

import statistics
import time
from collections.abc import Callable


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def compare(name: str, ours: Callable[[], object], other: Callable[[], object], rounds: int = 5) -> float:
    """Print and return the median of time(other) / time(ours), measured A B A B after one warm-up each."""
    ours(), other()
    pairs = [(seconds(ours), seconds(other)) for _ in range(rounds)]
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"  {name}: {1000 * statistics.median(a for a, _ in pairs):.0f} ms against "
          f"{1000 * statistics.median(b for _, b in pairs):.0f} ms, ratio {ratio:.2f}")  # fmt: skip
    return ratio
