"""Silence for C and C++ libraries that write to descriptor 2, past Python's logging; errors must stay one line."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

_silence = RLock()  # two threads in turn: the one that ends last would else put back the other's silence, for good


@contextmanager
def native_stderr_silenced() -> Iterator[None]:
    """Nothing that is written to descriptor 2 is seen."""
    with _silence:
        sys.stderr.flush()
        saved = os.dup(2)
        sink = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(sink, 2)
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            os.close(sink)
