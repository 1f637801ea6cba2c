"""How far the expression is from the true one, unit by unit.

Shapes: n frames that both videos have, E units.
"""

from collections.abc import Mapping

import numpy as np

from svp.evaluation.metric import About, Metric, Pair
from svp.face.model import FaceModel


def unit_errors(pair: Pair) -> np.ndarray:
    """Mean absolute difference of each unit (E,)."""
    given, true = (video.seen_face.fit.expression[: pair.shared_frames] for video in (pair.video, pair.true))
    return np.asarray(np.abs(given - true).mean(axis=0))


def measure(pair: Pair) -> float:
    return float(unit_errors(pair).mean())


def parts(pair: Pair) -> Mapping[str, float]:
    return dict(zip(FaceModel.load().unit_names, unit_errors(pair).tolist(), strict=True))


BETA_ERROR = Metric(
    About(
        "beta_error", "beta error", "ARKit weight", "lower", "face",
        "mean absolute difference of the 52 fitted units (face/fit.py)",
        "Most units rest most of the time: read it per unit. Puppets are made and measured with one face model, real "
        "people are not. The fit takes a little of a face's shape for expression.",
    ),
    measure,
    parts=parts,
    framewise=True,
)  # fmt: skip
