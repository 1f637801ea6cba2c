"""One source video becomes clips of a prepared dataset: face track, shots and their parts, crop, features.

The source is looked at twice, once for what is seen in it and once for the pictures, because the crop of a clip follows
from all of its landmarks; how, without memory that grows with its length, is in `two_looks.py`.

Shapes: N frames of a part of the source.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from svp.datasets.audio_offset import estimate_audio_offset
from svp.datasets.manifest import ClipRow
from svp.datasets.options import Options
from svp.datasets.prepared import DatasetWriter
from svp.datasets.quality import face_verdict, length_verdict, offset_verdict, sound_verdict
from svp.datasets.sources import ClipSource
from svp.datasets.survey import Survey, Surveyor
from svp.datasets.two_looks import TwoLooks
from svp.errors import InputError
from svp.face.crop import clip_crops
from svp.face.fit import fit_clip
from svp.face.head_kps import head_kps
from svp.face.landmarks import require_track
from svp.face.model import FaceModel
from svp.face.mouth import lip_gap
from svp.media.audio import SAMPLE_RATE, read_audio_or_none
from svp.media.video import FPS, VideoInfo, decoded_frames, probe
from svp.speech.alpha import AudioEncoder, encoder_weight, is_silent, load_audio_encoder
from svp.weights.terms import tell_terms

SECTION_FRAMES = 15_000  # ten minutes: what is tracked before it is cut, 90 MB of landmarks
LEAST_BOX = 32  # pixels: less is no region to look for a face in
MAX_OFFSET = 5.0  # seconds that sound may be moved by


class ExtractOptions(Options):
    """How sources become clips; part of what identifies a dataset.

    Attributes:
        files: names of the options that files follow from; what `max_seconds` does is in `cut_alike`.
        size: side of the square clips in pixels.
        audio_encoder: what `svp.speech.alpha.load_audio_encoder` takes.
        max_seconds: a longer shot is cut into equal parts no longer than this.
        min_seconds: a shorter clip is rejected.
        max_missing: share of frames without a face up to which the gaps are interpolated; beyond, the clip is rejected.
        max_others: share of frames with another large face beyond which a clip is rejected.
        min_face: larger side in pixels of the smallest face that is taken.
        min_sharpness: least `quality.sharpness` of a face that is taken.
        cut_change: mean change of the picture, in grey levels of 255, from which on it may be a cut between shots.
        max_offset: seconds; a clip is rejected whose sound is early or late by more, where its lips tell.
        correct_offset: move sound that is early or late, where its lips tell and `clips.csv` does not say.
        require_sound: reject clips without sound; otherwise their `audio` feature is zero.
    """

    files: ClassVar[tuple[str, ...]] = ("size", "cut_change", "correct_offset")

    size: int = Field(ge=16, le=4096, multiple_of=8)  # of what the VAE makes one latent
    audio_encoder: str
    max_seconds: float = Field(gt=0)
    min_seconds: float = Field(gt=0)
    max_missing: float = Field(ge=0, lt=1)
    max_others: float = Field(ge=0, le=1)
    min_face: float = Field(ge=0)
    min_sharpness: float = Field(ge=0)
    max_offset: float = Field(ge=0)
    cut_change: float = Field(gt=0, le=255)
    correct_offset: bool
    require_sound: bool

    def verdict(self, row: ClipRow) -> str:
        """Why a measured clip is rejected, or nothing."""
        bars = self.model_dump(include={"max_missing", "max_others", "min_face", "min_sharpness"})
        return (
            length_verdict(row, self.min_seconds)
            or sound_verdict(row, self.require_sound)
            or face_verdict(row, **bars)
            or offset_verdict(row, self.max_offset)
        )


def extract_clips(source: ClipSource, base: ClipRow, writer: DatasetWriter, options: ExtractOptions) -> list[ClipRow]:
    """Write the files of the clips of one source; their rows are returned, not yet committed.

    Args:
        base: the row with what is known of the source; one per part is derived from it.

    Returns:
        A row per part of a shot, accepted or rejected.

    Raises:
        InputError: the source cannot be used at all.
    """
    info = probe(source.path)
    box = _box_of(source, info)
    audio = audio_of(source, source.path if info.has_audio else None)
    offset = source.audio_offset or 0.0
    correct = options.correct_offset and source.audio_offset is None

    base = base.model_copy(update={"fps_in": info.fps, "start": source.start})
    rows: list[ClipRow] = []
    looks = TwoLooks(lambda: decoded_frames(source.path, start=source.start, seconds=source.seconds))
    pictures = looks.second()
    try:
        for first, survey in _sections(looks.first(), box, options):
            if audio is not None:
                heard = audio[round((source.start + first / FPS) * SAMPLE_RATE) :]
                found = estimate_audio_offset(lip_gap(survey.track), heard, FPS)
                offset = found.seconds if correct and found.certain else offset
                remaining = round(found.seconds - offset, 6) if found.certain else 0.0
                measured = {"remaining_offset": remaining, "offset_certain": found.certain}
                base = base.model_copy(update={"audio_offset": offset, **measured})
            shots = itertools.pairwise([0, *survey.cuts, len(survey)])
            spans = [(a + x, a + y) for a, b in shots for x, y in parts_of(b - a, options.max_seconds)]
            whole = len(spans) == 1 and first == 0
            for start, stop in spans:
                row = part_row(base, None if whole else len(rows), first + start, first + stop)
                row = survey.scored(row, start, stop)
                shown = itertools.islice(pictures, stop - start)
                track = survey.track[start:stop]
                rows.append(_write_part(source.path, row, track, shown, sound_of(audio, row), writer, options))
                _skip(shown)
    except BaseException:
        for row in rows:
            writer.remove(row.clip_id)
        raise
    return [row.model_copy(update={"parts": len(rows)}) for row in rows]


def audio_of(source: ClipSource, own: Path | None) -> np.ndarray | None:
    """Sound of a source from its file's beginning on, None if there is none or only silence.

    Args:
        own: the file that holds it where no other does; None if that has no sound.
    """
    path = source.sound or own
    if path is None:
        return None
    stop = None if source.seconds is None else source.start + source.seconds + MAX_OFFSET
    audio = read_audio_or_none(path, stop=stop)
    return None if is_silent(audio) else audio


def refresh_alpha(source: ClipSource, rows: Sequence[ClipRow], writer: DatasetWriter, encoder: str) -> list[ClipRow]:
    """Replace the `audio` feature of accepted clips of a source by another encoder's; the rest of their files stays."""
    own = source.path if rows[0].has_video and any(row.has_sound for row in rows) else None
    audio = audio_of(source, own)
    name = shared_audio_encoder(encoder).id
    for row in rows:
        if row.status == "ok" and row.audio_encoder != name:
            writer.replace_feature(row, "audio", alpha_of(sound_of(audio, row), row.frames, encoder))
    return [row.model_copy(update={"audio_encoder": name if row.status == "ok" else ""}) for row in rows]


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
    """The row of a part, with its files if it is accepted."""
    row = row.model_copy(update={"has_sound": audio is not None, "audio_encoder": writer.audio_encoder})
    if reason := options.verdict(row):
        return row.rejected(reason)
    try:
        track = require_track(track, path, min_share=0)  # how many may be missing is in the verdict
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
    except InputError as error:
        return row.rejected(reason_of(error, path))


def _sections(
    frames: Iterator[np.ndarray], box: tuple[int, int, int, int] | None, options: ExtractOptions
) -> Iterator[tuple[int, Survey]]:
    """(first frame, what is seen) of successive stretches of a source."""
    length = _section_frames(options.max_seconds)
    with Surveyor(options.cut_change, box) as surveyor:
        for first in itertools.count(0, length):
            survey = surveyor.survey(itertools.islice(frames, length))
            if not len(survey):
                return
            yield first, survey


def _box_of(source: ClipSource, info: VideoInfo) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of the box of a source in pixels of its video; None without one.

    Raises:
        InputError: it lies outside.
    """
    if source.box is None:
        return None
    scale = info.height / (source.box_height or info.height)
    x, y, width, height = (round(value * scale) for value in source.box)
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, info.width), min(y + height, info.height)
    if min(right - left, bottom - top) < LEAST_BOX:
        raise InputError(
            f"{source.path}: its crop box {source.box} lies outside the {info.width} x {info.height} picture; "
            "get the video in the size that the lists name"
        )
    return left, top, right, bottom


def parts_of(frames: int, max_seconds: float) -> list[tuple[int, int]]:
    """Spans of equal length, give or take a frame, none longer than `max_seconds`."""
    count = math.ceil(frames / max(1, math.floor(max_seconds * FPS)))
    edges = [round(k * frames / count) for k in range(count + 1)]
    return list(itertools.pairwise(edges))


def cut_alike(rows: Iterable[ClipRow], max_seconds: float) -> bool:
    """Whether the clips of one source are those that `max_seconds` makes; a source that was not measured has none.

    A shot, or what of it lies in one section, has equal parts: their number tells where they begin and end.
    """
    measured = sorted((row for row in rows if row.frames), key=lambda row: row.start)
    stretches: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for row in measured:
        first = round((row.start - measured[0].start) * FPS)
        stretches[row.shot, first // _section_frames(max_seconds)].append(row.frames)
    return all(len(parts_of(sum(frames), max_seconds)) == len(frames) for frames in stretches.values())


def _section_frames(max_seconds: float) -> int:
    return max(SECTION_FRAMES, round(max_seconds * FPS))


def part_row(base: ClipRow, number: int | None, start: int, stop: int) -> ClipRow:
    """The row of the frames start:stop of a source; `number` counts its parts and is None where there is but one."""
    return base.model_copy(
        update={
            "clip_id": base.clip_id if number is None else f"{base.clip_id}-p{number:03d}",
            "frames": stop - start,
            "seconds": (stop - start) / FPS,
            "start": base.start + start / FPS,
        }
    )


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
    shared = shared_audio_encoder(encoder)
    return np.zeros((frames, shared.size), np.float32) if audio is None else shared.encode(audio, frames, FPS).numpy()


def _skip(frames: Iterable[np.ndarray]) -> None:
    for _ in frames:
        pass


@lru_cache(maxsize=1)
def shared_audio_encoder(name: str) -> AudioEncoder:
    """The encoder, loaded once per process, with the terms of its weights told before it hears anything."""
    encoder = load_audio_encoder(name)
    weight = encoder_weight(name)
    tell_terms([] if weight is None else [weight])
    return encoder
