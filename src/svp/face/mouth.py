"""How far a mouth is open and its corners are drawn up, measured on landmarks."""

import numpy as np

from svp.face.topology import EYE_CORNERS_LEFT, EYE_CORNERS_RIGHT, LIPS_MIDDLE, MOUTH_CORNERS


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


def corner_lift(track: np.ndarray) -> np.ndarray:
    """Height of the mouth's corners above the middle of the lips, in distances between the outer corners of the eyes.

    Args:
        track: landmarks (N, 478, 2 or 3) in pixels, NaN where no face was found.

    Returns:
        (N,) float64, positive for a smile, NaN where no face was found. Up is across the line through the eyes.
    """
    points = np.asarray(track, np.float64)[..., :2]
    eyes = points[:, EYE_CORNERS_LEFT[0]] - points[:, EYE_CORNERS_RIGHT[0]]  # to the right of the picture
    up = np.stack([eyes[:, 1], -eyes[:, 0]], axis=-1)
    corners, lips = (points[:, list(places)].mean(axis=1) for places in (MOUTH_CORNERS, LIPS_MIDDLE))
    return np.asarray(((corners - lips) * up).sum(axis=-1) / (eyes**2).sum(axis=-1))
