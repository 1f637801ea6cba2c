"""Expressions measured in the frames of puppets: `measured/<encoder of beta>/<clip_id>.safetensors`.

Of a puppet the true beta is known, of a real person only what landmark detector and fit see of it. A style encoder that
has never seen measured expressions takes them for other emotions.

Shapes: N frames of a clip, E expression coefficients.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from svp.bar import transient_bar
from svp.cores import CORES
from svp.datasets.clip import Clip
from svp.datasets.derived import MEASURED, is_current, made_from
from svp.datasets.manifest import ClipRow
from svp.datasets.prepared import PreparedDataset
from svp.errors import InputError
from svp.face.fit import fit_clip
from svp.face.landmarks import require_track, track_landmarks
from svp.face.model import FaceModel
from svp.media.hashing import sha256_file
from svp.media.whole_file import output_file
from svp.workers import run_jobs

EXPRESSION: Final = "expression"


class MeasuredExpressions:
    """Reads what `measure_expressions` left in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def expression(self, clip_id: str, start: int, stop: int) -> np.ndarray | None:
        """Frames start:stop (n, E) float32 of a clip; None where the detector sees a face in too few of its frames.

        Raises:
            InputError: the clip was never measured, or the file is damaged.
        """
        with self._open(clip_id) as file:
            return file.get_slice(EXPRESSION)[start:stop] if EXPRESSION in set(file.keys()) else None

    def has_face(self, clip_id: str) -> bool:
        """Whether a face is seen in enough frames of a clip. Errors as `expression`."""
        with self._open(clip_id) as file:
            return EXPRESSION in set(file.keys())

    @contextmanager
    def _open(self, clip_id: str) -> Iterator[Any]:
        path = _file(self.folder, clip_id)
        try:
            with safe_open(path, framework="np") as file:
                yield file
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: no readable measurement ({error}); delete the file and start again") from error


class SeenDataset(PreparedDataset):
    """A dataset of puppets as detector and fit see it: clips in which a face is seen, with measured expressions."""

    def __init__(self, root: Path | str, measured: MeasuredExpressions) -> None:
        super().__init__(root)
        self.measured = measured
        self._accepted = {key: row for key, row in self._accepted.items() if measured.has_face(key)}

    def clip(self, clip_id: str) -> Clip:
        return SeenClip(self.root, super().clip(clip_id).row, self.measured)


class SeenClip(Clip):
    """A puppet's clip whose expressions are the measured ones."""

    def __init__(self, root: Path, row: ClipRow, measured: MeasuredExpressions) -> None:
        super().__init__(root, row)
        self.measured = measured

    def features(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        if name != EXPRESSION:
            return super().features(name, start, stop)
        seen = self.measured.expression(self.row.clip_id, *self._span(start, stop))
        assert seen is not None, f"{self.row.clip_id}: no face is seen; SeenDataset has no such clip"
        return seen


def measure_expressions(
    dataset: PreparedDataset, workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> MeasuredExpressions:
    """Fit the face model to what is seen in every accepted clip, unless that is done; may be stopped and started again.

    Args:
        workers: processes.
        progress: called with (clips that are there, clips in all).

    Raises:
        InputError: the expressions of the dataset are measured themselves.
    """
    if dataset.options.get("maker") != "puppet":
        raise InputError(
            f"{dataset.root}: --measured is for puppets, whose true expressions are known; these are measured already"
        )
    folder = dataset.root / MEASURED / dataset.expression_encoder.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    clips = [dataset.clip(row.clip_id) for row in dataset.accepted()]
    jobs = [(clip, sha256_file(clip.video_path)) for clip in clips]
    todo = [(clip, digest) for clip, digest in jobs if not is_current(_file(folder, clip.row.clip_id), digest)]
    there = itertools.repeat(None, len(jobs) - len(todo))
    made = run_jobs(todo, partial(_measure, folder), workers, _died)
    for done, _ in enumerate(itertools.chain(there, made), start=1):
        if progress is not None:
            progress(done, len(jobs))
    return MeasuredExpressions(folder)


def measured_expressions(dataset: PreparedDataset) -> MeasuredExpressions:
    """As `measure_expressions` on all cores, with a bar on stderr: the first time takes minutes."""
    with transient_bar("measure expressions") as told:
        return measure_expressions(dataset, workers=CORES, progress=told)


def _file(folder: Path, clip_id: str) -> Path:
    return folder / f"{clip_id}.safetensors"


def _measure(folder: Path, job: tuple[Clip, str]) -> None:
    clip, digest = job
    path = _file(folder, clip.row.clip_id)
    try:
        track = require_track(track_landmarks(clip.iter_frames()), clip.video_path)
        arrays = {EXPRESSION: fit_clip(track, FaceModel.load()).expression.astype(np.float32)}
    except InputError:  # no face is seen in it
        arrays = {}
    with output_file(path) as unfinished:
        save_file(arrays or {"unseen": np.ones(1, np.uint8)}, unfinished, metadata=made_from(digest))


def _died(job: tuple[Clip, str]) -> None:
    raise RuntimeError(f"{job[0].video_path}: measuring this clip kills a process")
