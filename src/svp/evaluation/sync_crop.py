"""The crop around a face that SyncNet is shown, as syncnet_python cuts it.

Its boxes come from another face finder (S3FD); here the bounding box of the landmarks, from forehead to chin and from
ear to ear, stands for them.

Shapes: N frames.
"""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from scipy.signal import medfilt

from svp.face.topology import N_SURFACE

SMOOTHING: Final = 13  # frames, median
MARGIN: Final = 0.4  # of half the box's side: on both sides, and twice below
SIZE: Final = 224  # pixels of the crop
OUTSIDE: Final = 110  # grey value of what lies outside the picture


def face_boxes(landmarks: np.ndarray) -> np.ndarray:
    """Centre x, centre y and half the larger side of the face's box, smoothed over time.

    As in syncnet_python zeros stand beyond both ends: there the smallest of the next frames counts.

    Args:
        landmarks: (N, 478, 3) pixels, without gaps.

    Returns:
        (N, 3) pixels.
    """
    points = landmarks[:, :N_SURFACE, :2].astype(np.float64)
    low, high = points.min(axis=1), points.max(axis=1)
    boxes = np.column_stack([(low + high) / 2, (high - low).max(axis=1) / 2])
    return np.asarray(medfilt(boxes, (SMOOTHING, 1)))


def syncnet_crop(frame: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The picture (224, 224, 3) uint8 BGR that SyncNet sees of a frame (H, W, 3) uint8 RGB.

    It reaches from one half side above the centre to 1.8 below it, and 1.4 to both sides.
    """
    x, y, half = box.tolist()
    top, bottom = math.floor(y - half), math.floor(y + half * (1 + 2 * MARGIN))
    left, right = math.floor(x - half * (1 + MARGIN)), math.floor(x + half * (1 + MARGIN))
    height, width = frame.shape[:2]
    inside = frame[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    above, before = max(-top, 0), max(-left, 0)
    below, behind = max(bottom - height, 0), max(right - width, 0)
    grey = (OUTSIDE, OUTSIDE, OUTSIDE)
    whole = cv2.copyMakeBorder(inside, above, below, before, behind, cv2.BORDER_CONSTANT, value=grey)
    return np.ascontiguousarray(cv2.resize(whole, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)[..., ::-1])
