"""A recording whose samples are used more than once: a long one waits on disk, not in memory."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from svp.errors import InputError
from svp.media.audio import audio_blocks

HELD_BYTES: Final = 8 << 20  # of samples in memory: two minutes


class Pages(mmap.mmap):
    """Memory that is read from a file where it is looked at."""


def read_recording(path: Path) -> np.ndarray:
    """The samples of `svp.media.audio.read_audio`, (samples,); a long recording's in a file that nobody else sees.

    Raises:
        InputError: as `read_audio`, or there is no room for temporary files.
    """
    with tempfile.SpooledTemporaryFile(HELD_BYTES) as file:
        for block in audio_blocks(path):
            with _room():
                file.write(block.tobytes())
        if (size := file.tell()) <= HELD_BYTES:
            file.seek(0)
            return np.frombuffer(bytearray(file.read()), np.float32) if size else np.zeros(0, np.float32)
        with _room():
            file.flush()
        return np.frombuffer(Pages(file.fileno(), size, access=mmap.ACCESS_COPY), np.float32)


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"temporary files: cannot be written ({error.strerror or error}); set TMPDIR to a folder with room for the "
            "recording, 64 kB a second"
        ) from error


def forget(samples: np.ndarray) -> None:
    """Let go of what of a long recording has come into memory; it is read again where it is looked at."""
    held = samples.base.obj if isinstance(samples.base, memoryview) else samples.base
    if isinstance(held, Pages):
        held.madvise(mmap.MADV_DONTNEED)
