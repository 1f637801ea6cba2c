"""An eye of the photo puppet: the eyeball lies behind the lids, follows the head and turns with the gaze.

Pixels: continuous, the centre of the first pixel is 0.5, 0.5.
"""

import cv2
import numpy as np

MARGIN = 0.6  # how far the eyeball's texture reaches beyond the lids, in eye widths
IRIS_FIRM = 1.1  # within this many iris radii everything moves with the gaze ...
IRIS_SOFT = 2.2  # ... and beyond this many nothing does


class Eye:
    """One eye of a portrait.

    Args:
        portrait: (S,S,3) uint8 RGB.
        source: (478,3) landmarks of the portrait.
        opening: landmark numbers of the ring of the lids.
        iris: landmark numbers of the iris, its centre first.
    """

    def __init__(
        self, portrait: np.ndarray, source: np.ndarray, opening: tuple[int, ...], iris: tuple[int, ...]
    ) -> None:
        self._ring = np.array(opening)
        self._iris = iris[0]
        self._source_ring = source[self._ring, :2]
        self._centre = source[iris[0], :2]
        self._radius = float(np.linalg.norm(source[list(iris[1:]), :2] - self._centre, axis=1).mean())
        self._texture, self._origin = _eyeball(portrait, self._source_ring)

    def paint(self, frame: np.ndarray, landmarks: np.ndarray, still: np.ndarray) -> None:
        """Draw the eyeball into the opening of the lids.

        Args:
            frame: (S,S,3) uint8, changed in place.
            landmarks: (478,3) of the frame.
            still: (478,3) the portrait's own landmarks in the head pose of the frame, without expression and gaze.
        """
        ring = landmarks[self._ring, :2]
        low = np.maximum(np.floor(ring.min(0)).astype(int) - 2, 0)
        high = np.minimum(np.ceil(ring.max(0)).astype(int) + 3, frame.shape[0])
        if (high <= low).any():
            return
        width, height = high - low
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [np.rint((ring - low - 0.5) * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
        if not mask.any():
            return
        # Pixels of the region -> portrait: the inverse of the head's motion, then of the iris's.
        to_portrait = _affine(still[self._ring, :2].astype(np.float64), self._source_ring)
        x = np.arange(low[0], high[0]) + 0.5
        y = (np.arange(low[1], high[1]) + 0.5)[:, None]
        place_x = to_portrait[0, 0] * x + to_portrait[0, 1] * y + to_portrait[0, 2]
        place_y = to_portrait[1, 0] * x + to_portrait[1, 1] * y + to_portrait[1, 2]
        turn = to_portrait[:, :2] @ (landmarks[self._iris, :2] - still[self._iris, :2])
        distance = np.hypot(place_x - self._centre[0] - turn[0], place_y - self._centre[1] - turn[1]) / self._radius
        follow = np.clip((IRIS_SOFT - distance) / (IRIS_SOFT - IRIS_FIRM), 0, 1)
        follow = follow * follow * (3 - 2 * follow)
        map_x = (place_x - turn[0] * follow - self._origin[0] - 0.5).astype(np.float32)
        map_y = (place_y - turn[1] * follow - self._origin[1] - 0.5).astype(np.float32)
        eyeball = cv2.remap(self._texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        weight = cv2.GaussianBlur(mask, (3, 3), 0).astype(np.float32)[..., None] / 255
        region = frame[low[1] : high[1], low[0] : high[0]]
        region[:] = np.rint(region + weight * (eyeball.astype(np.float32) - region)).astype(np.uint8)


def _eyeball(portrait: np.ndarray, ring: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The visible part of the eye, continued beyond the lids by its nearest pixels; with its place in the portrait."""
    span = float(np.ptp(ring[:, 0])) * MARGIN
    low = np.maximum(np.floor(ring.min(0) - span).astype(int), 0)
    high = np.minimum(np.ceil(ring.max(0) + span).astype(int) + 1, portrait.shape[0])
    patch = portrait[low[1] : high[1], low[0] : high[0]].copy()
    mask = np.zeros(patch.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.rint((ring - low - 0.5) * 16).astype(np.int32)], 1, shift=4)
    inside = cv2.erode(mask, np.ones((3, 3), np.uint8))
    if inside.sum() < 12:  # an eye that is nearly shut has no inside to speak of
        inside = mask
    if not inside.any():
        return patch, low
    _, labels = cv2.distanceTransformWithLabels(1 - inside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colours = np.zeros((labels.max() + 1, 3), np.uint8)
    colours[labels[inside > 0]] = patch[inside > 0]
    filled = colours[labels]
    smooth = cv2.GaussianBlur(filled, (5, 5), 0)
    patch = np.where(inside[..., None] > 0, patch, smooth)
    return patch, low


def _affine(points: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The affine map (2,3) that takes points (n,2) to images (n,2) with least squares."""
    design = np.concatenate([points, np.ones((len(points), 1))], 1)
    return np.linalg.lstsq(design, images, rcond=None)[0].T
