"""The face of a portrait: found, or told by a box where the detector finds none, or several.

Shapes: H x W pixels of the picture.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from svp.errors import InputError, InputWarning
from svp.face.landmarks import LandmarkDetector
from svp.face.model import FaceModel
from svp.face.topology import N_SURFACE

LEAST_SIDE: Final = 16.0  # pixels; a smaller face shows nothing
SURROUNDINGS: Final = 0.5  # rim (in larger sides of the box) of the part in which the detector looks


@dataclass(frozen=True)
class FaceBox:
    """A face from brow to chin and from edge to edge, in pixels of its picture.

    Attributes:
        x, y: top left corner.
        width, height: at least 16 pixels each.

    Raises:
        InputError: if it is no box.
    """

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in vars(self).values()):
            raise InputError(f"face box {self}: not finite; give X,Y,W,H in pixels of the picture")
        if min(self.width, self.height) < LEAST_SIDE:
            raise InputError(f"face box {self}: too small; a face needs {LEAST_SIDE:g} x {LEAST_SIDE:g} pixels")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The box of `X,Y,W,H`.

        Raises:
            InputError: if it is something else.
        """
        try:
            x, y, width, height = (float(part) for part in text.split(","))
        except ValueError:
            raise InputError(f"face box {text}: give X,Y,W,H in pixels, such as 120,80,200,240") from None
        return cls(x, y, width, height)

    @classmethod
    def around(cls, landmarks: np.ndarray, image_size: tuple[int, int]) -> Self:
        """The box of landmarks (478, 3), in whole pixels, as far as it lies in a picture of (height, width)."""
        low, high = (np.clip(np.rint(corner), 0, image_size[::-1]) for corner in _corners(landmarks))
        return cls(*low.tolist(), *np.maximum(high - low, LEAST_SIDE).tolist())

    def __str__(self) -> str:
        return ",".join(f"{value:g}" for value in vars(self).values())

    def require_inside(self, image_size: tuple[int, int], name: str) -> None:
        """Raise InputError unless the box lies in a picture of (height, width); `name` is what that is called."""
        height, width = image_size
        if min(self.x, self.y) < 0 or self.x + self.width > width or self.y + self.height > height:
            raise InputError(f"{name}: face box {self} reaches out of the picture of {width} x {height} pixels")

    def surroundings(self, image_size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of a picture of (height, width) in which the face's landmarks are to be sought."""
        rim = SURROUNDINGS * max(self.width, self.height)
        height, width = image_size
        rows = slice(max(0, int(self.y - rim)), min(height, math.ceil(self.y + self.height + rim)))
        return rows, slice(max(0, int(self.x - rim)), min(width, math.ceil(self.x + self.width + rim)))

    def holds(self, landmarks: np.ndarray) -> bool:
        """Whether the middle of a face (478, 3) lies in the box, and the face is of about its size."""
        low, high = _corners(landmarks)
        corner, size = np.array([self.x, self.y]), np.array([self.width, self.height])
        middle = (low + high) / 2 - corner
        ratio = (high - low).max() / size.max()
        return bool((middle > 0).all() and (middle < size).all() and 0.5 < ratio < 2)

    def mean_face(self) -> np.ndarray:
        """Landmarks (478, 3) in pixels of the mean face, as large as the box and in its middle."""
        face = FaceModel.load().neutral
        low, high = _corners(face)
        scale = math.sqrt(self.width * self.height / np.prod(high - low))
        landmarks = face * np.float32(scale)
        landmarks[:, :2] += np.array([self.x + self.width / 2, self.y + self.height / 2]) - scale * (low + high) / 2
        return np.asarray(landmarks, np.float32)


def warn(text: str) -> None:
    """What is done with a notice where nobody says otherwise."""
    warnings.warn(text, InputWarning, stacklevel=2)


def find_face(
    image: np.ndarray, name: str, box: FaceBox | None = None, notice: Callable[[str], None] = warn
) -> np.ndarray:
    """Landmarks (478, 3) of a portrait's face: of the largest, with a notice if there are others.

    Args:
        image: uint8 RGB (H, W, 3).
        name: what the picture is called in messages.
        box: where the face is: it is sought around there, and is the mean face if the detector sees none.
        notice: is called with what a person should know; by default an `InputWarning`.

    Raises:
        InputError: if no face is found, or the box lies outside the picture.
    """
    size = image.shape[:2]
    if box is not None:
        box.require_inside(size, name)
        rows, columns = box.surroundings(size)
        with LandmarkDetector(static=True) as detector:
            corner = np.array([columns.start, rows.start, 0], np.float32)
            near = [face + corner for face in detector.faces(image[rows, columns])]
        seen = next((face for face in near if box.holds(face)), None)
        if seen is None:
            notice(f"{name}: no face is seen in the face box {box}; a mean face that looks to the front is taken")
            return box.mean_face()
        return seen
    with LandmarkDetector(static=True) as detector:
        faces = detector.faces(image)
    if not faces:
        raise InputError(
            f"{name}: no face found; use a picture with one visible face, seen from the front, "
            "or say where it is by a face box X,Y,W,H (--face-box)"
        )
    boxes: list[FaceBox] = []
    for face in faces:
        if not any(other.holds(face) for other in boxes):  # the detector may find one twice
            boxes.append(FaceBox.around(face, size))
    if len(boxes) > 1:
        others = " or ".join(str(other) for other in boxes[1:])
        notice(f"{name}: {len(boxes)} faces, the largest is taken ({boxes[0]}); for another one --face-box {others}")
    return faces[0]


def _corners(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Top left and bottom right (2,) of the surface of a face (478, 3)."""
    xy = np.asarray(landmarks[:N_SURFACE, :2], np.float64)
    return xy.min(axis=0), xy.max(axis=0)
