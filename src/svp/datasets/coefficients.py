"""Clips without pictures: tracks of 3DMM coefficients (face/deep3d.py) as clips of a prepared dataset.

They hold beta, and alpha where a sound lies beside them: what stage `prior` learns from, and no other stage.

Shapes: N frames, E expression coefficients.
"""

import math
import re
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from svp.datasets.emotions import EMOTIONS
from svp.datasets.extract import alpha_of, part_row, parts_of, reason_of, require_length, sound_of
from svp.datasets.manifest import NEUTRAL, ClipRow
from svp.datasets.options import Options
from svp.datasets.prepared import DatasetWriter
from svp.datasets.sources import ClipSource, folder_sources
from svp.errors import InputError
from svp.face.deep3d import read_expression
from svp.media.audio import read_audio_or_none
from svp.media.video import FPS
from svp.speech.alpha import is_silent

SUFFIXES = frozenset([".mat"])
SOUND_SUFFIXES = (".wav", ".m4a", ".mp4")  # the first that is there
# MEAD's names, as M030_front_angry_level3_001: actor, view, emotion, level, number.
_MEAD_NAME = re.compile(
    rf"(?P<identity>[MW]\d{{3}})_\w+_(?P<emotion>{'|'.join(EMOTIONS)})_level(?P<intensity>[1-3])_\d+"
)


class CoefficientOptions(Options):
    """How tracks become clips; part of what identifies a dataset.

    Attributes:
        fps: frames per second of the files, which do not say it themselves.
        audio_encoder, max_seconds, min_seconds, require_sound: as in extract.ExtractOptions.
    """

    correct_offset: ClassVar[bool] = False  # there are no lips to measure it by

    fps: float = Field(ge=1, le=1000)
    audio_encoder: str
    max_seconds: float = Field(gt=0)
    min_seconds: float = Field(gt=0)
    require_sound: bool


def coefficient_sources(folder: Path, exclude: Path | None = None) -> list[ClipSource]:
    """The .mat files of a folder and its subfolders, each with the sound of the same name beside it.

    Names like MEAD's (`M030_front_angry_level3_001.mat`) tell identity, emotion and intensity; what `clips.csv` says
    comes first, and other names are as in `sources.folder_sources`.

    Raises:
        InputError: as `sources.folder_sources`.
    """
    sources = folder_sources(folder, exclude, suffixes=SUFFIXES, what="coefficients", labels_of=_mead_labels)
    return [source.model_copy(update={"sound": _sound_beside(source.path)}) for source in sources]


def extract_coefficients(
    source: ClipSource, base: ClipRow, writer: DatasetWriter, options: CoefficientOptions
) -> list[ClipRow]:
    """Write the files of the clips of one track; arguments, result and errors as in `extract.extract_clips`."""
    expression_NE = at_frame_times(read_expression(source.path), options.fps)
    audio = None if source.sound is None else read_audio_or_none(source.sound)
    if is_silent(audio):
        audio = None
        if options.require_sound:
            raise InputError(f"{source.path}: has no sound; put one of the same name beside it, or do not require it")
    offset = source.audio_offset or 0.0
    base = base.model_copy(update={"fps_in": options.fps, "audio_offset": offset if audio is not None else 0.0})
    spans = parts_of(len(expression_NE), options.max_seconds)
    rows: list[ClipRow] = []
    try:
        for number, (start, stop) in enumerate(spans):
            row = part_row(base, None if len(spans) == 1 else number, start, stop)
            try:
                row = _write_part(source.path, row, expression_NE[start:stop], audio, writer, options)
            except InputError as error:
                row = row.rejected(reason_of(error, source.path))
            rows.append(row)
    except BaseException:
        for row in rows:
            writer.remove(row.clip_id)
        raise
    return [row.model_copy(update={"parts": len(rows)}) for row in rows]


def at_frame_times(values_NE: np.ndarray, fps: float) -> np.ndarray:
    """A track at `fps` at the times of 25 frames per second, linear in between; equal rates change nothing."""
    count = max(1, math.floor(len(values_NE) * FPS / fps + 0.5))  # as many as a video of that length gives
    position = np.minimum(np.arange(count) * fps / FPS, len(values_NE) - 1)
    before = np.floor(position).astype(np.int64)
    after = np.minimum(before + 1, len(values_NE) - 1)
    share = (position - before)[:, None]
    return ((1 - share) * values_NE[before] + share * values_NE[after]).astype(np.float32)


def _write_part(
    path: Path,
    row: ClipRow,
    expression_NE: np.ndarray,
    audio: np.ndarray | None,
    writer: DatasetWriter,
    options: CoefficientOptions,
) -> ClipRow:
    require_length(row, path, options.min_seconds)
    if not expression_NE.any():
        raise InputError(f"{path}: its expression is zero throughout; measure the clip again")
    sound = sound_of(audio, row)
    features = {"expression": expression_NE, "audio": alpha_of(sound, row.frames, options.audio_encoder)}
    return writer.write_files(row, None, sound, features)


def _mead_labels(stem: str) -> dict[str, str]:
    """What a name like MEAD's says; nothing for another. Neutral has no intensity, though MEAD calls it level 1."""
    match = _MEAD_NAME.fullmatch(stem)
    if match is None:
        return {}
    return match.groupdict() | ({"intensity": "0"} if match["emotion"] == NEUTRAL else {})


def _sound_beside(path: Path) -> Path | None:
    candidates = (path.with_suffix(suffix) for suffix in SOUND_SUFFIXES)
    return next((candidate for candidate in candidates if candidate.is_file()), None)
