"""Whether the end of a video still looks like its beginning: face shape, sharpness, colour over time.

Shapes: S seconds of a video, K identity axes.
"""

from typing import Final

import numpy as np

from svp.evaluation.face_facts import rest_shape
from svp.evaluation.facts import Unmeasurable
from svp.evaluation.identity import shape_distance
from svp.evaluation.metric import About, CurveMetric, Pair
from svp.face.fit import part_identity
from svp.face.model import FaceModel
from svp.media.video import FPS

SECOND: Final = int(FPS)
LEAST_SECONDS: Final = 2
PITFALL = "In short clips mostly the natural change of pose and light: compare with the truth's own."


def seconds_of(values: np.ndarray) -> np.ndarray:
    """Means over whole seconds (S, ...) of values per frame (N, ...).

    Raises:
        Unmeasurable: the video is shorter than two seconds.
    """
    whole = len(values) // SECOND
    if whole < LEAST_SECONDS:
        raise Unmeasurable(f"shorter than {LEAST_SECONDS} s")
    return np.asarray(values[: whole * SECOND].reshape(whole, SECOND, *values.shape[1:]).mean(axis=1))


def identity_curve(pair: Pair) -> np.ndarray:
    """Distance of each second's face shape from the first second's (S,), in % of the pupil distance."""
    face = pair.video.seen_face
    whole = len(face) // SECOND
    if whole < LEAST_SECONDS:
        raise Unmeasurable(f"shorter than {LEAST_SECONDS} s")
    model, seconds = FaceModel.load(), [slice(k * SECOND, (k + 1) * SECOND) for k in range(whole)]
    shapes = [rest_shape(part_identity(face.landmarks, face.fit, second, model)) for second in seconds]
    return np.array([shape_distance(shape, shapes[0]) for shape in shapes])


def sharpness_curve(pair: Pair) -> np.ndarray:
    """Change of the sharpness against the first second (S,), in %."""
    seconds = seconds_of(pair.video.sharpness)
    return np.asarray(100 * (seconds / max(float(seconds[0]), 1e-9) - 1))


def colour_curve(pair: Pair) -> np.ndarray:
    """Distance of the mean colour from the first second's (S,), in levels of 255."""
    seconds = seconds_of(pair.video.colour)
    return np.asarray(np.linalg.norm(seconds - seconds[0], axis=1))


DRIFT_IDENTITY = CurveMetric(
    About(
        "drift_identity", "drift of the face shape", "% of the pupil distance", "near the truth's", "face",
        "distance of the face shape, fitted to the last whole second, from that of the first; curve over the seconds",
        PITFALL,
    ),
    identity_curve,
)  # fmt: skip
DRIFT_SHARPNESS = CurveMetric(
    About(
        "drift_sharpness", "drift of the sharpness", "%", "near zero", "pixels",
        "variance of the Laplacian of the grey picture, last whole second against the first; curve over the seconds",
        PITFALL,
    ),
    sharpness_curve,
)  # fmt: skip
DRIFT_COLOUR = CurveMetric(
    About(
        "drift_colour", "drift of the colour", "levels of 255", "near the truth's", "pixels",
        "distance of the mean RGB of the last whole second from that of the first; curve over the seconds",
        PITFALL,
    ),
    colour_curve,
)  # fmt: skip
