"""One source video becomes clips of a prepared dataset: face track, parts, crop, features.

The source is decoded twice side by side, once for the landmarks and once for the pictures, because the crop of a clip
follows from all of its landmarks: so no picture is held, and memory does not grow with the length of the source.

Shapes: N frames of a part of the source.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydantic import Field

from svp.datasets.audio_offset import estimate_audio_offset
from svp.datasets.manifest import ClipRow
from svp.datasets.options import Options
from svp.datasets.prepared import DatasetWriter
from svp.datasets.sources import ClipSource
from svp.errors import InputError
from svp.face.crop import clip_crops
from svp.face.fit import fit_clip
from svp.face.head_kps import head_kps
from svp.face.landmarks import LandmarkDetector, require_track, track_landmarks
from svp.face.model import FaceModel
from svp.face.mouth import lip_gap
from svp.media.audio import SAMPLE_RATE, read_audio_or_none
from svp.media.video import FPS, probe, read_frames
from svp.speech.alpha import ALPHA_SIZE, AudioEncoder, is_silent, load_audio_encoder

SECTION_FRAMES = 15_000  # ten minutes: what is tracked before it is cut, 90 MB of landmarks


class ExtractOptions(Options):
    """How sources become clips; part of what identifies a dataset.

    Attributes:
        size: side of the square clips in pixels.
        audio_encoder: what `svp.speech.alpha.load_audio_encoder` takes.
        max_seconds: a longer source is cut into equal parts no longer than this.
        min_seconds: a shorter clip is rejected.
        max_missing: share of frames without a face up to which the gaps are interpolated; beyond, the clip is rejected.
        correct_offset: measure by how much the sound is early or late and move it, where `clips.csv` does not say.
        require_sound: reject clips without sound; otherwise their `audio` feature is zero.
    """

    size: int = Field(ge=16, le=4096)
    audio_encoder: str
    max_seconds: float = Field(gt=0)
    min_seconds: float = Field(gt=0)
    max_missing: float = Field(ge=0, lt=1)
    correct_offset: bool
    require_sound: bool


def extract_clips(source: ClipSource, base: ClipRow, writer: DatasetWriter, options: ExtractOptions) -> list[ClipRow]:
    """Write the files of the clips of one source; their rows are returned, not yet committed.

    Args:
        base: the row with what is known of the source; one per part is derived from it.

    Returns:
        A row per part, accepted or rejected.

    Raises:
        InputError: the source cannot be used at all.
    """
    info = probe(source.path)
    audio = read_audio_or_none(source.path) if info.has_audio else None
    if is_silent(audio):
        audio = None
        if options.require_sound:
            raise InputError(f"{source.path}: has no sound; give a clip with sound, or do not require it")
    offset = source.audio_offset or 0.0
    measure = options.correct_offset and source.audio_offset is None and audio is not None

    base = base.model_copy(update={"fps_in": info.fps})
    rows: list[ClipRow] = []
    pictures = read_frames(source.path)
    try:
        for first, track in _sections(source.path, max(SECTION_FRAMES, round(options.max_seconds * FPS))):
            if measure and first == 0 and audio is not None:
                estimate = estimate_audio_offset(lip_gap(track), audio, FPS)
                offset = estimate.seconds if estimate.certain else 0.0
            base = base.model_copy(update={"audio_offset": offset if audio is not None else 0.0})
            spans = parts_of(len(track), options.max_seconds)
            whole = len(spans) == 1 and first == 0
            for start, stop in spans:
                row = part_row(base, None if whole else len(rows), first + start, first + stop)
                sound = sound_of(audio, row)
                shown = itertools.islice(pictures, stop - start)
                try:
                    row = _write_part(source.path, row, track[start:stop], shown, sound, writer, options)
                except InputError as error:
                    row = row.rejected(reason_of(error, source.path))
                rows.append(row)
                _skip(shown)
    except BaseException:
        for row in rows:
            writer.remove(row.clip_id)
        raise
    return [row.model_copy(update={"parts": len(rows)}) for row in rows]


def reason_of(error: InputError, path: Path) -> str:
    """An error about a clip as the reason in its row, which names the clip already."""
    return str(error).removeprefix(f"{path}: ")


def _write_part(
    path: Path,
    row: ClipRow,
    track: np.ndarray,
    pictures: Iterable[np.ndarray],
    audio: np.ndarray | None,
    writer: DatasetWriter,
    options: ExtractOptions,
) -> ClipRow:
    require_length(row, path, options.min_seconds)
    track = require_track(track, path, min_share=1 - options.max_missing)
    pictures = iter(pictures)
    head = next(pictures)
    crops = clip_crops(track, options.size, FPS, head.shape[:2])
    landmarks = np.stack([crop.points(points) for crop, points in zip(crops, track, strict=True)])
    features: Mapping[str, np.ndarray] = {
        "expression": fit_clip(landmarks, FaceModel.load()).expression,
        "audio": alpha_of(audio, row.frames, options.audio_encoder),
        "landmarks": landmarks,
        "head_kps": head_kps(landmarks),
    }
    cropped = (crop.apply(picture) for crop, picture in zip(crops, itertools.chain([head], pictures), strict=True))
    return writer.write_files(row, cropped, audio, features)


def _sections(path: Path, length: int) -> Iterator[tuple[int, np.ndarray]]:
    """(first frame, landmarks (N,478,3) with NaN where no face was found) of successive stretches of a video."""
    frames = read_frames(path)
    with LandmarkDetector() as detector:
        for first in itertools.count(0, length):
            track = track_landmarks(itertools.islice(frames, length), detector)
            if not len(track):
                return
            yield first, track


def parts_of(frames: int, max_seconds: float) -> list[tuple[int, int]]:
    """Spans of equal length, give or take a frame, none longer than `max_seconds`."""
    count = math.ceil(frames / max(1, math.floor(max_seconds * FPS)))
    edges = [round(k * frames / count) for k in range(count + 1)]
    return list(itertools.pairwise(edges))


def part_row(base: ClipRow, number: int | None, start: int, stop: int) -> ClipRow:
    """The row of the frames start:stop of a source; `number` counts its parts and is None where there is but one."""
    return base.model_copy(
        update={
            "clip_id": base.clip_id if number is None else f"{base.clip_id}-p{number:03d}",
            "frames": stop - start,
            "seconds": (stop - start) / FPS,
            "start": start / FPS,
        }
    )


def require_length(row: ClipRow, path: Path, min_seconds: float) -> None:
    """Whether a clip is long enough.

    Raises:
        InputError: if not.
    """
    if row.seconds < min_seconds:
        noun = "frame" if row.frames == 1 else "frames"
        raise InputError(f"{path}: has only {row.frames} {noun}; clips of at least {min_seconds} s are taken")


def sound_of(audio: np.ndarray | None, row: ClipRow) -> np.ndarray | None:
    """Sound of a part, moved by its offset; None where that is silent."""
    if audio is None:
        return None
    first = round((row.start - row.audio_offset) * SAMPLE_RATE)
    last = first + round(row.seconds * SAMPLE_RATE)
    inside = audio[max(first, 0) : max(last, 0)]
    samples = np.zeros(last - first, np.float32)
    samples[max(-first, 0) : max(-first, 0) + len(inside)] = inside
    return None if is_silent(samples) else samples


def alpha_of(audio: np.ndarray | None, frames: int, encoder: str) -> np.ndarray:
    """alpha (N,A) of a clip; zeros without sound."""
    if audio is None:
        return np.zeros((frames, ALPHA_SIZE), np.float32)
    return shared_audio_encoder(encoder).encode(audio, frames, FPS).numpy()


def _skip(frames: Iterable[np.ndarray]) -> None:
    for _ in frames:
        pass


@lru_cache(maxsize=1)
def shared_audio_encoder(name: str) -> AudioEncoder:
    """The encoder, loaded once per process."""
    return load_audio_encoder(name)
