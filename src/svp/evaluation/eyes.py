"""Blinks and gaze against the true clip.

Shapes: N frames, n frames that both videos have.
"""

from typing import Final

import numpy as np

from svp.evaluation.facts import Unmeasurable
from svp.evaluation.metric import About, Metric, Pair
from svp.media.video import FPS

SHUT: Final = 0.5  # of the clip's usual opening: below, the eyes are shut
OPEN: Final = 0.7  # above, they are open again
LEAST_SECONDS: Final = 2.0


def blinks(opening: np.ndarray) -> int:
    """How often the lids shut and open again, from their opening (N,) in any unit."""
    usual = float(np.median(opening))
    count, shut = 0, False
    for value in opening / max(usual, 1e-9):
        if not shut and value < SHUT:
            count, shut = count + 1, True
        elif shut and value > OPEN:
            shut = False
    return count


def blink_rate(pair: Pair) -> float:
    """Blinks per minute of the generated video.

    Raises:
        Unmeasurable: it is too short.
    """
    if len(pair.video) < LEAST_SECONDS * FPS:
        raise Unmeasurable(f"shorter than {LEAST_SECONDS:g} s")
    return blinks(pair.video.seen_face.lid_opening) * 60 * FPS / len(pair.video)


def blink_error(pair: Pair) -> float:
    """Share of the frames, in percent, in which one has its eyes shut and the other has not."""
    shut = []
    for video in (pair.video, pair.true):
        opening = video.seen_face.lid_opening
        shut.append((opening < SHUT * np.median(opening))[: pair.shared_frames])
    return 100 * float(np.mean(shut[0] != shut[1]))


def gaze_error(pair: Pair) -> float:
    given, true = (video.seen_face.gaze[: pair.shared_frames] for video in (pair.video, pair.true))
    return float(np.linalg.norm(given - true, axis=1).mean())


BLINK_RATE = Metric(
    About(
        "blink_rate", "blinks", "per minute", "near the truth's", "face",
        "lids closing to less than half of the clip's usual opening and opening again (face/gaze.py)",
        "Clips of a few seconds hold one blink or none: only the mean over many says something.",
    ),
    blink_rate,
)  # fmt: skip
BLINK_ERROR = Metric(
    About(
        "blink_error", "frames with eyes shut in one of the two", "%", "lower", "face",
        "lids open less than half of the clip's usual opening, compared frame by frame",
        "Two blinks half a second apart count as two errors. Says nothing where the system was not given the blinks.",
    ),
    blink_error,
    framewise=True,
)  # fmt: skip
GAZE_ERROR = Metric(
    About(
        "gaze_error", "gaze error", "degrees", "lower", "face",
        "angle between the gaze directions relative to the head, measured from the irises (face/gaze.py)",
        "At 128 pixels an iris is a few pixels wide, and the figure mostly noise of the measurement.",
    ),
    gaze_error,
    framewise=True,
)  # fmt: skip
