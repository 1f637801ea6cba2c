"""What is known about faces before a fit: which landmarks to trust, and how strong each unit usually is."""

from typing import Final

import numpy as np

from svp.face.model import FaceModel
from svp.face.topology import EYE_LEFT, EYE_RIGHT, FACE_OVAL, LIP_LOWER, LIP_UPPER, LIPS_INNER, MOUTH_CORNERS, N_SURFACE

BROWS: Final = (
    *(70, 63, 105, 66, 107, 46, 53, 52, 65, 55),
    *(300, 293, 334, 296, 336, 276, 283, 282, 295, 285),
)
# Errors at the lips and lids are what a viewer sees. Along the outline the detector slides, and the chin it draws
# follows the lips only loosely: trusted fully, it makes jawOpen follow its tremor instead of the mouth.
LIP_TRUST: Final = 3.0
LID_TRUST: Final = 3.0
BROW_TRUST: Final = 2.0
OUTLINE_TRUST: Final = 0.1
CHIN_TRUST: Final = 0.1
CHIN_MOTION: Final = 0.25  # a surface point that jawOpen moves further than this is chin

SYMMETRY_SIGMA: Final = 0.15  # spread of the difference between a unit and its partner on the other side
SPARSITY: Final = 0.15  # slope of the penalty at zero times a unit's spread: a unit must earn its use
UNIT_SIGMA: Final = 0.5  # spread of a unit
# Units that move most in speech, and units that landmarks hardly show or that imitate others. Closing the lips of an
# open jaw is seen only in the chin: without a strong claim, lips that meet mean a jaw that closes.
UNIT_SIGMAS: Final[dict[str, float]] = {
    "jawOpen": 1.0,
    "mouthClose": 0.04,
    "jawForward": 0.2,
    "cheekPuff": 0.2,
    "mouthShrugUpper": 0.4,
    "mouthShrugLower": 0.25,
    "mouthRollUpper": 0.4,
    "mouthRollLower": 0.4,
    "mouthPress": 0.4,
}


def landmark_weights(model: FaceModel) -> np.ndarray:
    """Trust in each surface landmark (468,), sum 1."""
    weights = np.ones(N_SURFACE, np.float32)
    jaw_motion = np.linalg.norm(model.expression[model.unit("jawOpen"), :N_SURFACE], axis=-1)
    weights[jaw_motion > CHIN_MOTION] = CHIN_TRUST
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
    return precision.astype(np.float32), (SPARSITY / sigmas).astype(np.float32)


def _without_side(name: str) -> str:
    return name.removesuffix("Left").removesuffix("Right")
