"""F-LMD and M-LMD: how far the landmarks of the face, and of the mouth, are from the true ones.

Shapes: n frames that both videos have, L landmarks.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from svp.evaluation.facts import Unmeasurable
from svp.evaluation.fan_points import FACE_68, MOUTH_20
from svp.evaluation.metric import About, Metric, Pair
from svp.evaluation.pixels import same_aspect

PAPER_SIDE: Final = 512  # pixels; distances are given for a picture of this height
SOURCE = "paper Sec. 4.2 (Chen et al. 2019); the {n} points are ours of `evaluation/fan_points.py` in place of FAN's"
PITFALL = "Holds the place of the head too, which is given to some systems and not to others."


def distances(pair: Pair, points: Sequence[int]) -> np.ndarray:
    """Mean distance of some landmarks per frame (n,), in pixels of a picture 512 pixels high."""
    if not same_aspect(pair.video.size, pair.true.size):
        (height, width), (true_height, true_width) = pair.video.size, pair.true.size
        raise Unmeasurable(f"{width} x {height} pixels against {true_width} x {true_height}: crop both alike")
    given, true = (
        video.seen_face.landmarks[: pair.shared_frames, list(points), :2] * (PAPER_SIDE / video.size[0])
        for video in (pair.video, pair.true)
    )
    return np.asarray(np.linalg.norm(given - true, axis=2).mean(axis=1))


def in_pixels(pair: Pair, points: Sequence[int]) -> float:
    return float(distances(pair, points).mean())


def in_pupil_distances(pair: Pair, points: Sequence[int]) -> float:
    between = pair.true.seen_face.pupil_distance * (PAPER_SIDE / pair.true.size[0])
    return 100 * in_pixels(pair, points) / between


F_LMD = Metric(
    About("f_lmd", "F-LMD", "px at 512", "lower", "face", SOURCE.format(n=68), PITFALL),
    partial(in_pixels, points=FACE_68),
    framewise=True,
)
M_LMD = Metric(
    About(
        "m_lmd",
        "M-LMD",
        "px at 512",
        "lower",
        "face",
        SOURCE.format(n=20),
        f"{PITFALL} The mouths are not moved onto each other.",
    ),
    partial(in_pixels, points=MOUTH_20),
    framewise=True,
)
F_LMD_PUPILS = Metric(
    About(
        "f_lmd_pupils", "F-LMD, normalised", "% of the pupil distance", "lower", "face", SOURCE.format(n=68),
        f"{PITFALL} Free of the size of the face in the picture.",
    ),
    partial(in_pupil_distances, points=FACE_68),
    framewise=True,
)  # fmt: skip
M_LMD_PUPILS = Metric(
    About(
        "m_lmd_pupils", "M-LMD, normalised", "% of the pupil distance", "lower", "face", SOURCE.format(n=20),
        f"{PITFALL} Free of the size of the face in the picture.",
    ),
    partial(in_pupil_distances, points=MOUTH_20),
    framewise=True,
)  # fmt: skip
