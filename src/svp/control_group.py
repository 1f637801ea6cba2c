"""What a container, or a cluster's job, lets its processes use of the machine: the limits of Linux's control groups,
version 2 or 1, of the own group and of those around it."""

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")  # lines NUMBER:CONTROLLERS:GROUP; of version 2 without controllers
USED = ("anon", "shmem"), ("total_rss", "total_shmem")  # files in memory (tmpfs) are not given back either


def processors() -> float:
    """How many may be busy at a time on average; infinite without a limit."""
    most = math.inf
    for group in (*_groups(""), *_groups("cpu")):
        match _words(group / "cpu.max") or _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us"):
            case [quota, period] if quota not in ("max", "-1"):
                most = min(most, int(quota) / int(period))
    return most


def free_memory() -> float:
    """Bytes that can still be had; infinite without a limit. What only caches files counts as free."""
    free = math.inf
    for group in (*_groups(""), *_groups("memory")):
        match _words(group / "memory.max") or _words(group / "memory.limit_in_bytes"):
            case [limit] if limit != "max":
                stat = _words(group / "memory.stat")
                used = dict(zip(stat[::2], stat[1::2], strict=True))
                taken = max(sum(int(used.get(name, 0)) for name in names) for names in USED)
                free = min(free, int(limit) - taken)
    return free


def _groups(controller: str) -> Iterator[Path]:
    """Folders of the groups that this process is in, the outermost first; of version 2 without a controller.

    In a container the outermost is often all that is seen, whatever the own group is called.
    """
    root = ROOT / controller
    yield root
    for line in _lines(OWN):
        _, controllers, group = line.split(":", 2)
        if controller in controllers.split(","):
            parts = PurePosixPath(group).parts[1:]
            yield from (root.joinpath(*parts[: k + 1]) for k in range(len(parts)))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:  # no such group, or not Linux
        return []


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()
