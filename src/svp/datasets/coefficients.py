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
from svp.datasets.extract import alpha_of, audio_of, part_row, parts_of, sound_of
from svp.datasets.manifest import NEUTRAL, ClipRow
from svp.datasets.options import Options
from svp.datasets.prepared import DatasetWriter
from svp.datasets.quality import length_verdict, sound_verdict
from svp.datasets.sources import ClipSource, folder_sources
from svp.face.deep3d import read_expression
from svp.media.video import FPS

SUFFIXES = frozenset([".mat"])
SOUND_SUFFIXES = (".wav", ".m4a", ".mp4")  # the first that is there
# MEAD's names, as M030_front_angry_level3_001: actor, view, emotion, level, number.
_MEAD_NAME = re.compile(
    rf"(?P<identity>[MW]\d{{3}})_\w+_(?P<emotion>{'|'.join(EMOTIONS)})_level(?P<intensity>[1-3])_\d+"
)


class CoefficientOptions(Options):
    """How tracks become clips; part of what identifies a dataset.

    Attributes:
        files: as in extract.ExtractOptions.
        fps: frames per second of the files, which do not say it themselves.
        audio_encoder, max_seconds, min_seconds, require_sound: as in extract.ExtractOptions.
    """

    files: ClassVar[tuple[str, ...]] = ("fps",)

    fps: float = Field(ge=1, le=1000)
    audio_encoder: str
    max_seconds: float = Field(gt=0)
    min_seconds: float = Field(gt=0)
    require_sound: bool

    def verdict(self, row: ClipRow) -> str:
        """Why a clip is rejected, or nothing."""
        zero = "its expression is zero throughout; measure the clip again" if row.missing == 1 else ""
        return length_verdict(row, self.min_seconds) or sound_verdict(row, self.require_sound) or zero


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
    audio = audio_of(source, None)
    offset = source.audio_offset or 0.0
    base = base.model_copy(update={"fps_in": options.fps, "audio_offset": offset if audio is not None else 0.0})
    spans = parts_of(len(expression_NE), options.max_seconds)
    rows: list[ClipRow] = []
    try:
        for number, (start, stop) in enumerate(spans):
            row = part_row(base, None if len(spans) == 1 else number, start, stop)
            row = _write_part(row, expression_NE[start:stop], sound_of(audio, row), writer, options)
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
    row: ClipRow,
    expression_NE: np.ndarray,
    audio: np.ndarray | None,
    writer: DatasetWriter,
    options: CoefficientOptions,
) -> ClipRow:
    """The row of a part, with its files if it is accepted."""
    missing = float(not expression_NE.any())
    scores = {"missing": missing, "has_sound": audio is not None, "audio_encoder": writer.audio_encoder}
    row = row.model_copy(update=scores)
    if reason := options.verdict(row):
        return row.rejected(reason)
    features = {"expression": expression_NE, "audio": alpha_of(audio, row.frames, options.audio_encoder)}
    return writer.write_files(row, None, audio, features)


def _mead_labels(stem: str) -> dict[str, str]:
    """What a name like MEAD's says; nothing for another. Neutral has no intensity, though MEAD calls it level 1."""
    match = _MEAD_NAME.fullmatch(stem)
    if match is None:
        return {}
    return match.groupdict() | ({"intensity": "0"} if match["emotion"] == NEUTRAL else {})


def _sound_beside(path: Path) -> Path | None:
    candidates = (path.with_suffix(suffix) for suffix in SOUND_SUFFIXES)
    return next((candidate for candidate in candidates if candidate.is_file()), None)
