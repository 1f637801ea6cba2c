"""The points that guide a model, by the name in its settings: which they are, how they move, how they are drawn.

Shapes: N frames, K points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from svp.face.fit import FaceFit
from svp.face.head_kps import HEAD_KPS, draw_head_kps, seen_head_kps
from svp.face.motion import HeadMotion, apply_to_portrait, move_landmarks
from svp.face.v_express_kps import LANDMARKS, draw_three_points, three_points


@dataclass(frozen=True)
class KeyPoints:
    """One set of points.

    Attributes:
        count: K.
        pupils: whether pupils are among them, so that they show gaze and blinks.
        seen: landmarks (N, 478, 3) to points (N, K, 2) in the same pixels.
        moved: a portrait's landmarks (478, 3), their fit and a motion of N frames to points (N, K, 2).
        draw: points (N, K, 2) and the side of a picture to pictures (N, 3, size, size), RGB in [0, 1].
    """

    count: int
    pupils: bool
    seen: Callable[[np.ndarray], np.ndarray]
    moved: Callable[[np.ndarray, FaceFit, HeadMotion], np.ndarray]
    draw: Callable[[np.ndarray, int], np.ndarray]


def _three_moved(landmarks: np.ndarray, fit: FaceFit, motion: HeadMotion) -> np.ndarray:
    return three_points(move_landmarks(landmarks, fit, motion, LANDMARKS))


KEY_POINTS: Final = {
    "upper-face": KeyPoints(len(HEAD_KPS), True, seen_head_kps, apply_to_portrait, draw_head_kps),
    "v-express": KeyPoints(
        3, False, lambda landmarks: three_points(landmarks[:, LANDMARKS]), _three_moved, draw_three_points
    ),
}
