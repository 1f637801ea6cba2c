"""What was freed leaves the process."""

import sys
from pathlib import Path

import pytest
import torch

from svp.memory import release_memory


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is resident")
def test_freed_pieces_are_given_back() -> None:
    pieces = [torch.ones(16_000) for _ in range(2000)]  # 64 kB each: too small to be mapped by themselves
    kept = pieces[::40]
    del pieces
    before = resident()
    release_memory()
    assert resident() < before - 10_000  # pages: 40 MB of 128
    assert all(float(piece.sum()) == 16_000 for piece in kept)
