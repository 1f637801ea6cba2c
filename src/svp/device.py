"""Where networks compute when a command runs them: on a graphics card where there is one."""

from __future__ import annotations

import os

import torch

from svp.cores import CORES
from svp.workers import NUMBER


def computing_device() -> torch.device:
    """The processor, or of the graphics cards the one whose turn it is: workers share them out by their numbers."""
    cards = _cards()
    return torch.device("cuda", int(os.environ.get(NUMBER, 0)) % cards) if cards else torch.device("cpu")


def default_workers() -> int:
    """One for each graphics card, whose memory holds a model of each worker; without any one for each processor."""
    return _cards() or CORES


def _cards() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0
