"""What a container lets its processes use of the machine: the limits of Linux's control groups, version 2 or 1."""

import math
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def processors() -> float:
    """How many may be busy at a time on average; infinite without a limit."""
    match _words("cpu.max") or _words("cpu/cpu.cfs_quota_us") + _words("cpu/cpu.cfs_period_us"):
        case [quota, period] if quota not in ("max", "-1"):
            return int(quota) / int(period)
    return math.inf


def free_memory() -> float:
    """Bytes that can still be had; infinite without a limit. What only caches files counts as free."""
    match _words("memory.max") or _words("memory/memory.limit_in_bytes"):
        case [limit] if limit != "max":
            stat = _words("memory.stat") or _words("memory/memory.stat")
            used = dict(zip(stat[::2], stat[1::2], strict=True))
            return int(limit) - int(used.get("anon") or used.get("total_rss") or 0)
    return math.inf


def _words(name: str) -> list[str]:
    try:
        return (ROOT / name).read_text().split()
    except OSError:  # no such group, or not Linux
        return []
