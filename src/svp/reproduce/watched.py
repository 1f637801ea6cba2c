"""What is seen in videos: their faces, measured as `svp evaluate` does and kept in its cache; and single frames."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from svp.cores import CORES
from svp.evaluation.cache import MeasurementCache
from svp.evaluation.facts import VideoFacts
from svp.evaluation.instruments import installation
from svp.evaluation.observe import observe
from svp.media.video import FPS, read_frames
from svp.workers import run_jobs


def watch(paths: Sequence[Path], cache: Path | None, workers: int | None) -> dict[Path, VideoFacts | str]:
    """The facts of videos, or in words why there are none."""
    work = partial(_facts, cache=MeasurementCache(cache, installation()))
    return dict(run_jobs(list(dict.fromkeys(paths)), work, workers or CORES, _died))


def frames_at(path: Path, moments: Sequence[float]) -> list[np.ndarray]:
    """Frames (H, W, 3) uint8 of a video at shares of its length, 0 to 1.

    Raises:
        InputError: it cannot be read.
    """
    frames = list(read_frames(path, FPS))
    return [frames[round(moment * (len(frames) - 1))] for moment in moments]


def _facts(path: Path, cache: MeasurementCache) -> tuple[Path, VideoFacts | str]:
    return path, observe({"video": path}, None, cache).videos["video"]


def _died(path: Path) -> tuple[Path, VideoFacts | str]:
    return path, "the process that reads it dies"
