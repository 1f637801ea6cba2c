"""The three points that V-Express is guided by: both eyes and the nose, drawn as it draws them.

Its detector's points are the centres of the eyes and the tip of the nose; here they come from the landmarks.
"""

from typing import Final

import cv2
import numpy as np

from svp.face.topology import EYE_CORNERS_LEFT, EYE_CORNERS_RIGHT, NOSE_TIP

LANDMARKS: Final = (*EYE_CORNERS_RIGHT, *EYE_CORNERS_LEFT, NOSE_TIP)  # the person's right eye is on the picture's left
COLORS: Final = ((255, 0, 0), (0, 255, 0), (0, 0, 255))  # RGB
LIMBS: Final = ((0, 2), (1, 2))  # from each eye to the nose, in the eye's colour
LIMB_SHADE: Final = 0.6
RADIUS: Final = 4  # pixels, of the points and half the width of a limb


def three_points(corners: np.ndarray) -> np.ndarray:
    """Eyes and nose (..., 3, 2) of the five landmarks (..., 5, 2 or more) in `LANDMARKS`."""
    pairs = corners[..., :4, :2].reshape(*corners.shape[:-2], 2, 2, 2)
    return np.concatenate([pairs.mean(axis=-2), corners[..., 4:, :2]], axis=-2).astype(np.float32)


def draw_three_points(points: np.ndarray, size: int) -> np.ndarray:
    """Pictures of the three points.

    Args:
        points: (N, 3, 2) in pixels of a `size` x `size` picture.
        size: side of the pictures in pixels; the points keep their size.

    Returns:
        (N, 3, size, size) float32 RGB in [0, 1].
    """
    if points.ndim != 3 or points.shape[1:] != (3, 2):
        raise ValueError(f"expected points (N, 3, 2), got {points.shape}")
    images = np.zeros((len(points), size, size, 3), np.uint8)
    for image, frame_points in zip(images, points, strict=True):
        for start, end in LIMBS:
            across = frame_points[start] - frame_points[end]
            angle = int(np.degrees(np.arctan2(across[1], across[0])))
            centre = tuple(int(value) for value in (frame_points[start] + frame_points[end]) / 2)
            axes = (int(np.hypot(*across) / 2), RADIUS)
            limb = np.asarray(cv2.ellipse2Poly(centre, axes, angle, 0, 360, 1))
            cv2.fillConvexPoly(image, limb, COLORS[start])
        image[:] = (image * LIMB_SHADE).astype(np.uint8)
        for point, color in zip(frame_points, COLORS, strict=True):
            cv2.circle(image, (int(point[0]), int(point[1])), RADIUS, color, -1)
    return images.transpose(0, 3, 1, 2).astype(np.float32) / 255
