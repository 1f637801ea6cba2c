"""SyncNet's offset, distance and confidence of a video: whether mouth and sound belong together, without a truth."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from svp.evaluation.facts import Unmeasurable, VideoFacts
from svp.evaluation.metric import About, Metric, Pair
from svp.evaluation.sync import MAX_SHIFT, SAMPLES_PER_FRAME, WINDOW, SyncNetwork, sync_score
from svp.evaluation.sync_crop import face_boxes, syncnet_crop
from svp.media.audio import read_audio
from svp.media.video import FPS, read_frames

# With fewer windows than shifts to one side some shifts compare with nothing but the zeros beyond the sound.
LEAST_FRAMES: Final = MAX_SHIFT + 1 + WINDOW
INT16: Final = 32768
RULES: Final = (
    "SyncNet (Chung and Zisserman 2016) by the rules of syncnet_python at 25 fps and 16 kHz: windows of five frames, "
    f"{2 * MAX_SHIFT + 1} shifts; its crop around the box of our landmarks in place of S3FD's"
)
CARE: Final = (
    "Read it beside the row of the truth: compression, crop and language move it, and real videos are not perfect. "
    "A network that was trained with SyncNet's loss is at an advantage."
)


def measure_sync(video: VideoFacts, path: Path, network: SyncNetwork) -> np.ndarray:
    """Offset, least distance and confidence (3,) of a video whose face and loudness are known.

    Raises:
        Unmeasurable: there is no face or no sound, or the video is too short.
    """
    boxes = face_boxes(video.seen_face.landmarks)
    if isinstance(video.loudness, str):
        raise Unmeasurable(video.loudness)
    sound = to_int16(read_audio(path))
    length = min(len(video), len(sound) // SAMPLES_PER_FRAME)
    if length < LEAST_FRAMES:
        raise Unmeasurable(f"{length} frames with sound; SyncNet's shifts need {LEAST_FRAMES}")
    crops = (syncnet_crop(frame, box) for frame, box in zip(read_frames(path, FPS), boxes, strict=False))
    score = sync_score(crops, sound, network)
    return np.array([score.offset, score.min_distance, score.confidence])


def to_int16(sound: np.ndarray) -> np.ndarray:
    """Samples in [-1, 1] as int16, as ffmpeg writes them."""
    return np.asarray(np.rint(sound.astype(np.float64) * INT16).clip(-INT16, INT16 - 1), np.int16)


def figure(pair: Pair, place: int) -> float:
    """Offset, distance or confidence by its place in what was measured."""
    return float(pair.video.measured_by("syncnet")[place])


SYNC_OFFSET = Metric(
    About(
        "sync_offset", "SyncNet offset", "frames", "near zero", "syncnet",
        f"{RULES}; the shift of the least mean distance, positive where the sound leads",
        f"A whole number. Means little where the confidence is low. {CARE}",
    ),
    partial(figure, place=0),
)  # fmt: skip
SYNC_DISTANCE = Metric(
    About(
        "sync_distance", "SyncNet distance", "", "lower", "syncnet",
        f"{RULES}; the mean distance at the best shift (Wav2Lip's LSE-D)",
        f"Small for faces that hardly move too. {CARE}",
    ),
    partial(figure, place=1),
)  # fmt: skip
SYNC_CONFIDENCE = Metric(
    About(
        "sync_confidence", "SyncNet confidence", "", "higher", "syncnet",
        f"{RULES}; the median over the shifts minus the least mean distance (Wav2Lip's LSE-C)",
        f"Higher than the truth's is not better: mouths that are moved too clearly score so. {CARE}",
    ),
    partial(figure, place=2),
)  # fmt: skip
