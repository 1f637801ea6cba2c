"""Head-Kps: eight points of the upper face that say where the head is and where the eyes look.

None of them lies on the mouth or the jaw, so the mouth can only come from the audio and the style. They are drawn as
coloured discs on black, one colour per point.
"""

from typing import Final

import numpy as np

from svp.face.gaze import lid_opening

# Face edges (right 127, 234, left 356, 454), pupils (right 468, left 473), bridge of the nose (168 above 6).
HEAD_KPS: Final = (127, 234, 356, 454, 468, 473, 168, 6)

# RGB in [0, 1]; far apart from each other and from the black ground.
HEAD_KPS_COLORS: Final = (
    (1.0, 0.0, 0.0),
    (1.0, 0.5, 0.0),
    (0.0, 0.3, 1.0),
    (0.5, 0.0, 1.0),
    (0.0, 1.0, 0.0),
    (0.0, 1.0, 1.0),
    (1.0, 1.0, 0.0),
    (1.0, 0.0, 1.0),
)
RADIUS = 0.02  # of a disc, in sides of the picture
PUPILS: Final = (4, 5)  # places of the pupils among the eight: right, left
CLOSED_LIDS: Final = 0.1  # opening of an eye, in its widths, below which the pupil is not seen


def head_kps(landmarks: np.ndarray) -> np.ndarray:
    """The eight points (..., 8, 2) of landmarks (..., 478, 3), in the same pixels."""
    return landmarks[..., list(HEAD_KPS), :2]


def seen_head_kps(landmarks: np.ndarray) -> np.ndarray:
    """The eight points (N, 8, 2) of landmarks (N, 478, 3), a pupil NaN while its lids are closed: blinks are seen."""
    points = head_kps(landmarks).astype(np.float32)
    closed_N2 = lid_opening(landmarks) < CLOSED_LIDS
    points[:, list(PUPILS)] = np.where(closed_N2[..., None], np.nan, points[:, list(PUPILS)])
    return points


def draw_head_kps(points: np.ndarray, size: int) -> np.ndarray:
    """Pictures of the eight points.

    Args:
        points: (N, 8, 2) in pixels of a `size` x `size` picture (centre of the first pixel at 0.5, 0.5). Points outside
            the picture, or NaN, are not drawn.
        size: side of the pictures in pixels.

    Returns:
        (N, 3, size, size) float32 RGB in [0, 1]: anti-aliased discs on black, later points over earlier ones.
    """
    if points.ndim != 3 or points.shape[1:] != (len(HEAD_KPS), 2):
        raise ValueError(f"expected points (N, {len(HEAD_KPS)}, 2), got {points.shape}")
    radius = RADIUS * size
    reach = int(np.ceil(radius)) + 1
    images = np.zeros((len(points), 3, size, size), np.float32)
    colors = np.asarray(HEAD_KPS_COLORS, np.float32)[:, :, None, None]
    for image, frame_points in zip(images, points, strict=True):
        for (x, y), color in zip(frame_points, colors, strict=True):
            if not (np.isfinite(x) and np.isfinite(y)):
                continue
            left, right = max(int(x) - reach, 0), min(int(x) + reach + 1, size)
            top, bottom = max(int(y) - reach, 0), min(int(y) + reach + 1, size)
            if left >= right or top >= bottom:
                continue
            distance = np.hypot(np.arange(left, right) + 0.5 - x, (np.arange(top, bottom) + 0.5 - y)[:, None])
            coverage = np.clip(radius + 0.5 - distance, 0, 1).astype(np.float32)
            window = image[:, top:bottom, left:right]
            window += coverage * (color - window)
    return images
