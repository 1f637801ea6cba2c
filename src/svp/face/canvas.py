"""The picture around the square crop: generated frames are pasted into it without a visible seam.

Coordinates are continuous pixels, as in `crop.py`. Shapes: S side of a generated frame, H x W pixels of the canvas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np

from svp.errors import InputError
from svp.face.crop import SquareCrop, cut

FRAMES: Final = ("crop", "full")
MAX_SIDE: Final = 1920  # pixels of the longer side of a full picture; a larger one is made smaller
MAX_ASPECT: Final = 3.0  # of the longer to the shorter side
FEATHER: Final = 0.12  # width of the soft edge of a pasted frame, in its sides
TOUCHING: Final = 0.015  # an edge so near to the canvas's own (in sides) is that: nothing is to be hidden there
MATCH_SIDE: Final = 64  # pixels of the small pictures on which colours are compared
UNLIKE: Final = 20.0  # grey levels; what differs by more has moved, and says nothing about the colours
BLURS: Final = (0.003, 0.012, 0.05)  # sigmas ever further beyond the picture's edge, in longer sides of the canvas


@dataclass(frozen=True)
class View:
    """What of a picture a video shows.

    Attributes:
        frame: `crop` is the square around the face, as the model makes it; `full` the whole picture.
        aspect: shape of the video, `WIDTH:HEIGHT`; None leaves it. A crop grows to it, a full picture is cut to it as
            far as the square around the face stays whole, and grows from there.

    Raises:
        InputError: if one of them is unknown or out of reason.
    """

    frame: str = "crop"
    aspect: str | None = None

    def __post_init__(self) -> None:
        if self.frame not in FRAMES:
            raise InputError(f"frame {self.frame}: unknown; use one of {', '.join(FRAMES)}")
        if self.ratio is not None and not 1 / MAX_ASPECT <= self.ratio <= MAX_ASPECT:
            raise InputError(f"aspect {self.aspect}: too long a shape; at most {MAX_ASPECT:g}:1 or 1:{MAX_ASPECT:g}")

    @property
    def square(self) -> bool:
        """Whether it is the model's own frame, and needs no canvas."""
        return self.frame == "crop" and self.aspect is None

    @property
    def ratio(self) -> float | None:
        """Width over height that is asked for."""
        if self.aspect is None:
            return None
        try:
            width, height = (float(part) for part in self.aspect.split(":"))
            if width > 0 and height > 0:
                return width / height
        except ValueError:
            pass
        raise InputError(f"aspect {self.aspect}: give WIDTH:HEIGHT, such as 16:9")


class Canvas:
    """A picture with a place in it for generated frames.

    Args:
        background: uint8 (H, W, 3), not changed.
        place: where frames go, in pixels of the background; its edges may lie outside.
    """

    def __init__(self, background: np.ndarray, place: SquareCrop) -> None:
        self.background, self.place = background, place
        self.height, self.width = background.shape[:2]
        size = np.array([self.width, self.height])
        low = np.clip(np.floor(place.origin), 0, size).astype(int)
        high = np.clip(np.ceil(place.origin + place.side), 0, size).astype(int)
        self._origin, self._size = low, high - low
        self._region = slice(low[1], high[1]), slice(low[0], high[0])
        hidden_low = place.origin > TOUCHING * place.side  # edges (x, y) within the picture
        hidden_high = place.origin + place.side < size - TOUCHING * place.side

        def depth(axis: int, positions: np.ndarray) -> np.ndarray:
            """How far positions (in sides) lie from the nearer edge that is to be hidden."""
            from_low = positions if hidden_low[axis] else np.inf
            from_high = 1 - positions if hidden_high[axis] else np.inf
            return np.broadcast_to(np.minimum(from_low, from_high), positions.shape)

        across, down = (
            depth(axis, (np.arange(low[axis], high[axis]) + 0.5 - place.origin[axis]) / place.side) for axis in range(2)
        )
        self._weight = (_smoothstep(down / FEATHER)[:, None] * _smoothstep(across / FEATHER)).astype(np.float32)
        self._match_side = min(MATCH_SIDE, place.size)
        centres = (np.arange(self._match_side) + 0.5) / self._match_side
        inside = np.minimum(depth(1, centres)[:, None], depth(0, centres))
        self._rim = np.clip(1 - inside / (2 * FEATHER), 0, 1).astype(np.float32)
        self._rest = self._small(place.apply(background))

    @classmethod
    def of(cls, picture: np.ndarray, crop: SquareCrop, view: View) -> Self:
        """The canvas of a picture (H, W, 3) uint8 whose face lies in `crop`; its sides are even, as H.264 needs them.

        A crop keeps the model's resolution, a full picture its own up to `MAX_SIDE`. Beyond the edge of the picture
        that edge goes on, blurred.
        """
        inside = np.array(picture.shape[1::-1], np.float64)
        if view.ratio is None:
            size, origin = inside, np.zeros(2)
        else:
            shape = np.array([view.ratio, 1.0])
            size = shape * crop.side / shape.min()  # the smallest that holds the crop
            if view.frame == "full":
                size = np.maximum(size, shape * (inside / shape).min())
            center = np.array([crop.center_x, crop.center_y])
            wanted = np.where(size < inside, np.clip(center, size / 2, inside - size / 2), inside / 2)
            room = (size - crop.side) / 2
            origin = np.clip(wanted, center - room, center + room) - size / 2
        if view.frame == "full":
            scale = min(1.0, MAX_SIDE / size.max())
            corner = (crop.origin - origin) * scale
        else:
            scale = crop.scale
            corner = np.rint((crop.origin - origin) * scale)  # so that frames are pasted pixel on pixel
            origin = crop.origin - corner / scale
        width, height = (2 * int(np.ceil(side * scale / 2 - 1e-6)) for side in size)
        side = crop.side * scale
        place = SquareCrop(float(corner[0] + side / 2), float(corner[1] + side / 2), side, crop.size)
        return cls(_extended(picture, origin, scale, (width, height)), place)

    def paste(self, frame: np.ndarray) -> np.ndarray:
        """The picture with a generated frame in its place.

        Args:
            frame: uint8 (S, S, 3).

        Returns:
            A new picture, uint8 (H, W, 3).
        """
        place = self.place
        if frame.shape != (place.size, place.size, 3):
            raise ValueError(f"frame {frame.shape} must be ({place.size}, {place.size}, 3)")
        result = self.background.copy()
        if self._size.min() > 0:
            origin = (self._origin - place.origin) * place.scale
            size = (int(self._size[0]), int(self._size[1]))
            region = cut(self._matched(frame), origin, 1 / place.scale, size, cv2.BORDER_REPLICATE, cv2.INTER_CUBIC)
            old = self.background[self._region]
            result[self._region] = cv2.blendLinear(region, old, self._weight, 1 - self._weight)
        return result

    def _matched(self, frame: np.ndarray) -> np.ndarray:
        """A frame whose colours are those of the picture along its edges: a smooth offset is added.

        Where hair or a shoulder has moved over the edge the two differ by more than colours do; that does not count.
        """
        difference = self._rest - self._small(frame)
        weight = self._rim * np.exp(-((np.abs(difference).max(axis=2) / UNLIKE) ** 2))
        smooth = [
            cv2.GaussianBlur(values, (0, 0), self._match_side / 8, borderType=cv2.BORDER_REPLICATE)
            for values in (difference * weight[..., None], weight)
        ]
        offset = smooth[0] / (smooth[1][..., None] + 1e-3)
        whole = cv2.resize(offset, frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return np.clip(np.rint(frame + whole), 0, 255).astype(np.uint8)

    def _small(self, frame: np.ndarray) -> np.ndarray:
        size = (self._match_side, self._match_side)
        return cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _extended(picture: np.ndarray, origin: np.ndarray, scale: float, size: tuple[int, int]) -> np.ndarray:
    """A window of a picture (see `cut`); beyond the picture's edge that goes on, more and more blurred."""
    window = cut(picture, origin, scale, size, cv2.BORDER_REPLICATE)

    def beyond(axis: int) -> np.ndarray:
        """How far the places along an axis lie beyond the picture's edge, in pixels of the window; below 0 inside."""
        places = np.arange(size[axis]) + 0.5 + origin[axis] * scale
        return np.maximum(-places, places - picture.shape[1 - axis] * scale)

    distance = np.maximum(beyond(1)[:, None], beyond(0))
    if distance.max() <= 0:
        return window
    for part in BLURS:  # what goes on from the edge would be streaks if it were blurred far out alone
        soft = part * max(size)
        weight = _smoothstep(distance / soft).astype(np.float32)
        window = cv2.blendLinear(cv2.GaussianBlur(window, (0, 0), soft), window, weight, 1 - weight)
    return window


def _smoothstep(values: np.ndarray) -> np.ndarray:
    """From 0 at 0 to 1 at 1, without a corner at either end."""
    inside = np.clip(values, 0, 1)
    return inside * inside * (3 - 2 * inside)
