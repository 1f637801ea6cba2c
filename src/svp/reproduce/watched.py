"""What is seen in videos: their faces, measured as `svp evaluate` does and kept in its cache; and single frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from svp.bar import transient_bar
from svp.cores import CORES
from svp.evaluation.cache import MeasurementCache
from svp.evaluation.facts import VideoFacts
from svp.evaluation.instruments import installation
from svp.evaluation.observe import observe
from svp.media.video import FPS, read_frames
from svp.workers import run_jobs


def watch(paths: Sequence[Path], cache: Path | None, workers: int | None) -> dict[Path, VideoFacts | str]:
    """The facts of videos, or in words why there are none."""
    work, jobs = partial(_facts, cache=MeasurementCache(cache, installation())), list(dict.fromkeys(paths))
    found: dict[Path, VideoFacts | str] = {}
    with transient_bar("faces of the videos") as told:
        for path, facts in run_jobs(jobs, work, workers or CORES, _died):
            found[path] = facts
            told(len(found), len(jobs))
    return found


def faceless(made: Mapping[str, Mapping[str, Path]], seen: Mapping[Path, VideoFacts | str]) -> Iterator[str]:
    """Why videos that are there say nothing of a face; by system and clip."""
    for system, found in made.items():
        for clip, path in found.items():
            facts = seen.get(path)
            reason = facts.face if isinstance(facts, VideoFacts) else facts
            if isinstance(reason, str):
                yield f"{system}, {clip}: not measured: {reason}"


def frames_at(path: Path, moments: Sequence[float]) -> list[np.ndarray]:
    """Frames (H, W, 3) uint8 of a video at shares of its length, 0 to 1; no others are held, it may be long.

    Raises:
        InputError: it cannot be read.
    """
    last = sum(1 for _ in read_frames(path, FPS)) - 1
    wanted = [round(moment * last) for moment in moments]
    shown = {n: frame for n, frame in enumerate(islice(read_frames(path, FPS), max(wanted) + 1)) if n in wanted}
    return [shown[n] for n in wanted]


def _facts(path: Path, cache: MeasurementCache) -> tuple[Path, VideoFacts | str]:
    return path, observe({"video": path}, None, cache).videos["video"]


def _died(path: Path) -> tuple[Path, VideoFacts | str]:
    return path, "the process that reads it dies"
