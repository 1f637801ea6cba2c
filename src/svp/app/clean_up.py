"""What visitors leave in a folder goes after a time, whoever wrote it: also an upload that broke off half-way."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time
from typing import Final

EVERY: Final = 60.0  # seconds between two looks for what is old


@contextmanager
def cleaned(folder: Path, keep: float) -> Iterator[None]:
    """While the block runs, files that came into the folder since it began go `keep` seconds after they were written.

    Gradio's `delete_cache` knows only of the uploads that arrived whole, and leaves their folders, which are named by a
    hash of the upload.
    """
    own, ended = frozenset(_below(folder)), threading.Event()

    def clean() -> None:
        while not ended.wait(EVERY):
            remove_old(folder, keep, own)

    thread = threading.Thread(target=clean, name="clean-up", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def remove_old(folder: Path, keep: float, own: Set[Path]) -> None:
    """Remove what is older than `keep` seconds but for `own`, and folders that have been empty for so long."""
    now = time()
    for path in _below(folder):
        # it may be gone, or be a folder with something in it; copies keep the time of what they were copied from
        with suppress(OSError):
            if path not in own and now - path.lstat().st_ctime > keep:
                path.rmdir() if path.is_dir() else path.unlink()


def _below(folder: Path) -> Iterator[Path]:
    """What is in a folder, innermost first; what others remove meanwhile is passed over."""
    for place, folders, files in os.walk(folder, topdown=False):
        yield from (Path(place, name) for name in (*files, *folders))
