"""How far a mouth is open, measured on landmarks."""

import numpy as np

from svp.face.topology import EYE_CORNERS_LEFT, EYE_CORNERS_RIGHT, LIPS_MIDDLE


def lip_gap(track: np.ndarray) -> np.ndarray:
    """Height of the opening between the lips, in distances between the outer corners of the eyes.

    Args:
        track: landmarks (N, 478, 2 or 3) in pixels, NaN where no face was found.

    Returns:
        (N,) float64, NaN where no face was found.
    """
    points = np.asarray(track, np.float64)[..., :2]
    upper, lower = (points[:, index] for index in LIPS_MIDDLE)
    eyes = points[:, EYE_CORNERS_RIGHT[0]] - points[:, EYE_CORNERS_LEFT[0]]
    return np.asarray(np.linalg.norm(upper - lower, axis=-1) / np.linalg.norm(eyes, axis=-1))
