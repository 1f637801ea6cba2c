"""Whether it is the same person: the shape of the face at rest.

A face embedding (`identity_embedding.py`) tells more, where its network is installed.
"""

import numpy as np

from svp.evaluation.metric import About, Metric, Pair


def shape_distance(shape: np.ndarray, other: np.ndarray) -> float:
    """RMS distance of two faces at rest (478, 3), in % of the pupil distance."""
    return 100 * float(np.sqrt(((shape - other) ** 2).sum(axis=1).mean()))


def measure(pair: Pair) -> float:
    return shape_distance(pair.video.seen_face.shape, pair.true.seen_face.shape)


IDENTITY_SHAPE = Metric(
    About(
        "identity_shape", "distance of the face shape", "% of the pupil distance", "lower", "face",
        "RMS distance of the fitted faces at rest (face/fit.py), in units of the person's own pupil distance",
        "Only proportions, no skin, eyes or hair. Two clips of one person differ too: the fit sees their poses.",
    ),
    measure,
)  # fmt: skip
