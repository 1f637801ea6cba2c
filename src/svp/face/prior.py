"""What is known about faces before a fit: which landmarks to trust, and how strong each unit usually is."""

from typing import Final

import numpy as np

from svp.face.model import FaceModel
from svp.face.topology import EYE_LEFT, EYE_RIGHT, FACE_OVAL, LIP_LOWER, LIP_UPPER, LIPS_INNER, MOUTH_CORNERS, N_SURFACE

BROWS: Final = (
    *(70, 63, 105, 66, 107, 46, 53, 52, 65, 55),
    *(300, 293, 334, 296, 336, 276, 283, 282, 295, 285),
)
# Errors at the lips and lids are what a viewer sees; the outline is where the detector slides along the cheek.
LIP_TRUST, LID_TRUST, BROW_TRUST, OUTLINE_TRUST = 3.0, 3.0, 2.0, 0.3

UNIT_SIGMA: Final = 0.5  # spread of a unit
SYMMETRY_SIGMA: Final = 0.15  # spread of the difference between a unit and its partner on the other side
SPARSITY: Final = 0.5  # slope at zero: a unit must earn its use
UNIT_SIGMAS: Final[dict[str, float]] = {}  # units that are rarer than their name alone suggests


def landmark_weights() -> np.ndarray:
    """Trust in each surface landmark (468,), sum 1."""
    weights = np.ones(N_SURFACE, np.float32)
    weights[list(FACE_OVAL)] = OUTLINE_TRUST
    weights[[*LIP_UPPER, *LIP_LOWER, *MOUTH_CORNERS, LIPS_INNER[0], LIPS_INNER[10]]] = LIP_TRUST
    weights[[*EYE_RIGHT, *EYE_LEFT]] = LID_TRUST
    weights[list(BROWS)] = BROW_TRUST
    return weights / weights.sum()


def expression_prior(model: FaceModel) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian and sparse part of the prior: precision (E, E) and slope (E,) of the penalty b' P b / 2 + slope b."""
    names = model.unit_names
    sigmas = np.array([UNIT_SIGMAS.get(_without_side(name), UNIT_SIGMA) for name in names])
    precision = np.diag(1 / sigmas**2)
    for left, name in enumerate(names):
        partner = name.removesuffix("Left") + "Right"
        # jawLeft and jawRight are opposite directions, not two sides of one motion.
        if name.endswith("Left") and name not in ("jawLeft", "mouthLeft") and partner in names:
            right = names.index(partner)
            precision[[left, right], [left, right]] += SYMMETRY_SIGMA**-2
            precision[[left, right], [right, left]] -= SYMMETRY_SIGMA**-2
    return precision.astype(np.float32), np.full(len(names), SPARSITY, np.float32)


def _without_side(name: str) -> str:
    return name.removesuffix("Left").removesuffix("Right")
