"""Whether the head is where it should be: rotation, and the eight Head-Kps.

Shapes: n frames that both videos have.
"""

import numpy as np

from svp.evaluation.landmark_distance import in_pupil_distances
from svp.evaluation.metric import About, Metric, Pair
from svp.face.head_kps import HEAD_KPS


def mean_angle(rotation: np.ndarray, other: np.ndarray) -> float:
    """Mean angle in degrees between rotations (n, 3, 3) frame by frame."""
    # |A - B| = 2 sqrt(2) sin(angle / 2): exact also where the angle is small
    chord = np.linalg.norm(rotation.astype(np.float64) - other, axis=(1, 2)) / (2 * np.sqrt(2))
    return float(np.degrees(2 * np.arcsin(np.clip(chord, 0, 1))).mean())


def rotation_error(pair: Pair) -> float:
    given, true = (video.seen_face.fit.rotation[: pair.shared_frames] for video in (pair.video, pair.true))
    return mean_angle(given, true)


def head_kps_error(pair: Pair) -> float:
    return in_pupil_distances(pair, HEAD_KPS)


HEAD_POSE = Metric(
    About(
        "head_pose", "head rotation error", "degrees", "lower", "face",
        "angle between the fitted rotations (face/fit.py), mean over the frames",
        "The trembling of the fit is in it. Says nothing where the system was not given the head motion.",
    ),
    rotation_error,
    framewise=True,
)  # fmt: skip
HEAD_KPS_ERROR = Metric(
    About(
        "head_kps", "Head-Kps error", "% of the pupil distance", "lower", "face",
        "mean distance of the eight Head-Kps (face/head_kps.py)",
        "Two of the eight are the pupils: gaze is in it. Says nothing where the system was not given the head motion.",
    ),
    head_kps_error,
    framewise=True,
)  # fmt: skip
