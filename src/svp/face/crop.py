"""The square crop around a face: the same framing for portraits and clips.

Coordinates are continuous pixels (the centre of the first pixel is 0.5, 0.5), as everywhere in this room.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from svp.face.topology import N_SURFACE

CROP_SIDE = (
    1.7  # side of the crop in units of the larger side of the landmarks' bounding box: head, hair, some shoulders
)
CROP_RAISE = 0.05  # how far the crop's centre lies above the face's, in sides: hair needs more room than the chin
PULL_INSIDE = 0.05  # how far (in sides) a crop may be moved to show less of the outside of the picture
TRAVEL = 0.25  # a face that travels further than this share of the side is followed
FOLLOW_SECONDS = 1.0  # time constant of the smoothing of a followed face


@dataclass(frozen=True)
class SquareCrop:
    """A square of a picture, scaled to `size` x `size` pixels.

    Attributes:
        center_x, center_y: centre in pixels of the full picture.
        side: side in pixels of the full picture.
        size: side of the result in pixels.
    """

    center_x: float
    center_y: float
    side: float
    size: int

    def __post_init__(self) -> None:
        if not (self.side > 0 and self.size > 0):
            raise ValueError(f"side and size must be positive, got {self.side} and {self.size}")

    @property
    def scale(self) -> float:
        """Crop pixels per pixel of the full picture."""
        return self.size / self.side

    @property
    def origin(self) -> np.ndarray:
        """Top left corner in the full picture."""
        return np.array([self.center_x - self.side / 2, self.center_y - self.side / 2])

    def points(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2 or 3) of the full picture in crop pixels; a third coordinate (depth) is only scaled."""
        return self._map(points, self.scale, -self.origin * self.scale)

    def inverse_points(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2 or 3) of the crop in pixels of the full picture."""
        return self._map(points, 1 / self.scale, self.origin)

    @staticmethod
    def _map(points: np.ndarray, scale: float, shift: np.ndarray) -> np.ndarray:
        result = np.asarray(points, np.float64) * scale
        result[..., :2] += shift
        return result.astype(np.result_type(points, np.float32))

    def widened(self, margin: float) -> "SquareCrop":
        """The same with a rim of `margin` sides around it, at the same scale."""
        rim = round(margin * self.size)
        return SquareCrop(self.center_x, self.center_y, self.side * (1 + 2 * rim / self.size), self.size + 2 * rim)

    def covered(self, image_size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of the crop that lie inside a picture of (height, width)."""
        low = np.ceil(-self.origin * self.scale)
        high = np.floor((np.array(image_size[::-1]) - self.origin) * self.scale)
        (left, top), (right, bottom) = (np.clip(edge, 0, self.size).astype(int).tolist() for edge in (low, high))
        return slice(top, bottom), slice(left, right)

    def apply(self, image: np.ndarray, border: int = cv2.BORDER_REFLECT) -> np.ndarray:
        """Cut the crop out of a picture (H, W, 3). Returns (size, size, 3); `border` as in `cut`."""
        return cut(image, self.origin, self.scale, (self.size, self.size), border)


def cut(
    image: np.ndarray,
    origin: np.ndarray,
    scale: float,
    size: tuple[int, int],
    border: int = cv2.BORDER_REFLECT,
    between: int = cv2.INTER_LINEAR,
) -> np.ndarray:
    """An upright window of a picture (H, W, 3), scaled.

    Args:
        image: the picture.
        origin: (2,) its top left corner, x and y in pixels of the picture.
        scale: pixels of the result per pixel of the picture.
        size: (width, height) of the result.
        border: OpenCV's name for what lies outside the picture; it is mirrored by default.
        between: OpenCV's name for what lies between its pixels.

    Returns:
        (height, width, 3), of the picture's type.
    """
    shrink = int(1 / scale)
    if shrink < 2:
        shift = 0.5 * scale - 0.5 - np.asarray(origin) * scale  # pixel centres of OpenCV are integers
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        return cv2.warpAffine(image, matrix, size, flags=between, borderMode=border)
    # An affine warp samples points; averaging over the whole factor first keeps fine texture from flickering.
    fine = cut(image, origin, scale * shrink, (size[0] * shrink, size[1] * shrink), border, between)
    return cv2.resize(fine, size, interpolation=cv2.INTER_AREA)


def _boxes(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre (..., 2) and larger side (...) of the bounding boxes of landmarks (..., 478, 3)."""
    xy = np.asarray(landmarks, np.float64)[..., :N_SURFACE, :2]
    low, high = xy.min(axis=-2), xy.max(axis=-2)
    return (low + high) / 2, (high - low).max(axis=-1)


def _framed(center: np.ndarray, extent: float, size: int, image_size: tuple[int, int] | None) -> SquareCrop:
    side = CROP_SIDE * float(extent)
    x, y = float(center[0]), float(center[1]) - CROP_RAISE * side
    if image_size is not None:
        height, width = image_size
        x, y = _pull(x, side, width), _pull(y, side, height)
    return SquareCrop(x, y, side, size)


def _pull(center: float, side: float, length: int) -> float:
    """A coordinate of the centre, moved a little towards where the crop would lie inside the picture."""
    wanted = length / 2 if side >= length else float(np.clip(center, side / 2, length - side / 2))
    return center + float(np.clip(wanted - center, -PULL_INSIDE * side, PULL_INSIDE * side))


def portrait_crop(landmarks: np.ndarray, size: int, image_size: tuple[int, int] | None = None) -> SquareCrop:
    """The crop of a portrait.

    Args:
        landmarks: (478, 3) in pixels.
        size: pixels of the result.
        image_size: (height, width) of the picture; the crop is then pulled a little towards its inside.
    """
    center, extent = _boxes(landmarks)
    return _framed(center, float(extent), size, image_size)


def clip_crop(track: np.ndarray, size: int, image_size: tuple[int, int] | None = None) -> SquareCrop:
    """One crop for a whole clip: medians over its frames, so that single bad frames do not matter.

    Args:
        track: (N, 478, 3) in pixels; frames of NaN are left out.

    Raises:
        ValueError: if no frame has landmarks.
    """
    center, extent = _boxes(_present(track))
    return _framed(np.median(center, axis=0), float(np.median(extent)), size, image_size)


def clip_crops(
    track: np.ndarray, size: int, fps: float = 25.0, image_size: tuple[int, int] | None = None
) -> list[SquareCrop]:
    """A crop per frame: one and the same, unless the face travels; then the centre follows smoothly, the side is fixed.

    Args:
        track: (N, 478, 3) in pixels; frames of NaN are interpolated.
        fps: frames per second, for the time constant of the smoothing.
    """
    whole = clip_crop(track, size, image_size)
    found = np.isfinite(track).all(axis=(1, 2))
    center, _ = _boxes(_present(track))
    if (np.ptp(center, axis=0) <= TRAVEL * whole.side).all():
        return [whole] * len(track)
    frames = np.arange(len(track))
    center = np.stack([np.interp(frames, frames[found], center[:, axis]) for axis in range(2)], axis=1)
    smooth = gaussian_filter1d(center, FOLLOW_SECONDS * fps / 2, axis=0, mode="nearest", truncate=3.0)
    extent = whole.side / CROP_SIDE
    return [_framed(point, extent, size, image_size) for point in smooth]


def _present(track: np.ndarray) -> np.ndarray:
    found = np.isfinite(track).all(axis=(1, 2))
    if not found.any():
        raise ValueError("the track has no frame with a face")
    return track[found]
