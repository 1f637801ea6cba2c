"""Memory that is free, and that was freed: glibc keeps it in pieces that the next large need may not fit."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

from svp import control_group


def free_memory() -> float:
    """Bytes that processes can still take, of the machine and of the container around this one."""
    import psutil

    return min(psutil.virtual_memory().available, control_group.free_memory())


def release_memory() -> None:
    """Return what this process freed and does not use; a few milliseconds. Nothing happens without glibc."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return None
