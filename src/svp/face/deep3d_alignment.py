"""The picture that Deep3DFaceRecon's regressor is shown: scaled and cut by five points of the face.

Its standard points belong to the Basel Face Model and come with that. The numbers here are those that open
re-implementations of the alignment state; they were not checked against the model's own file.

Shapes: H x W pixels.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from svp.face.topology import EYE_CORNERS_LEFT, EYE_CORNERS_RIGHT, MOUTH_CORNERS, NOSE_TIP

SIZE: Final = 224  # pixels of the result
SCALE: Final = 102.0  # pixels of the result per unit of the standard points (a decimetre)
# The person's right eye, left eye, nose tip, right and left corner of the mouth; x to the right, y up, z to the viewer.
STANDARD_POINTS: Final = np.array(
    [
        [-0.31148657, 0.29036078, 0.13377953],
        [0.30979887, 0.28972036, 0.13179526],
        [0.0032535, -0.04617932, 0.55244243],
        [-0.25216928, -0.38133916, 0.22405732],
        [0.2484662, -0.38128236, 0.22235769],
    ]
)


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """The five points (5, 2) of landmarks (478, 3), in their pixels: eyes as the middle of their corners."""
    eyes = [landmarks[list(corners), :2].mean(axis=0) for corners in (EYE_CORNERS_RIGHT, EYE_CORNERS_LEFT)]
    return np.stack([*eyes, landmarks[NOSE_TIP, :2], *landmarks[list(MOUTH_CORNERS), :2]])


def placement(points: np.ndarray, height: int) -> tuple[np.ndarray, float]:
    """Where the origin of the standard points lies in a picture, and how large they are there.

    Least squares over an affine camera of which only its two mean row lengths are used.

    Args:
        points: (5, 2) pixels; the centre of the first pixel is (0.5, 0.5).
        height: of the picture.

    Returns:
        (2,) x to the right and y up, in pixels whose centres are whole numbers; pixels per unit.
    """
    seen = np.column_stack([points[:, 0] - 0.5, height - 0.5 - points[:, 1]])
    standard = np.column_stack([STANDARD_POINTS, np.ones(len(STANDARD_POINTS))])
    camera, *_ = np.linalg.lstsq(standard, seen, rcond=None)  # (4, 2): a column per coordinate of the picture
    return camera[3], float(np.linalg.norm(camera[:3], axis=0).mean())


def aligned(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The aligned picture (224, 224, 3) uint8 RGB; what lies outside is black.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (478, 3) in its pixels.
    """
    height, width = image.shape[:2]
    origin, size = placement(five_points(landmarks), height)
    scale = SCALE / size
    new_width, new_height = int(width * scale), int(height * scale)
    left = int(new_width / 2 - SIZE / 2 + (origin[0] - width / 2) * scale)
    top = int(new_height / 2 - SIZE / 2 + (height / 2 - origin[1]) * scale)
    resized = Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + SIZE, top + SIZE)))
