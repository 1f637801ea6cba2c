"""Backgrounds for puppets: studio walls, rooms out of focus, lights in the dark. Painted, so nobody owns them.

Shapes: S side of the frame.
"""

import colorsys
from typing import Literal, get_args

import cv2
import numpy as np

Backdrop = Literal["plain", "room", "lights"]
BACKDROPS: tuple[Backdrop, ...] = get_args(Backdrop)


def paint_backdrop(kind: Backdrop, size: int, rng: np.random.Generator) -> np.ndarray:
    """A background (S,S,3) uint8 RGB that follows from the generator's state."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    if kind == "plain":  # one colour, lit from a side, darker towards the edges
        angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.5)
        light = 1 + slope * ((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle))
        light -= rng.uniform(0, 0.5) * ((x - 0.5) ** 2 + (y - 0.45) ** 2)
        picture = _colour(rng, 0.5, (0.2, 0.95)) * light[..., None]
    elif kind == "room":  # a few large patches of related colours, far out of focus
        base, cells = _colour(rng, 0.5, (0.25, 0.8)), int(rng.integers(3, 7))
        patches = base * rng.uniform(0.5, 1.5, (cells, cells, 1)) + rng.normal(0, 14, (cells, cells, 3))
        picture = cv2.resize(patches.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
        if rng.random() < 0.6:  # a door frame, a shelf
            edge = rng.uniform(0.05, 0.95)
            picture = picture * np.where(x < edge, rng.uniform(0.6, 1.0), 1.0)[..., None]
            picture = cv2.GaussianBlur(picture, (0, 0), size * rng.uniform(0.005, 0.03))
    else:
        picture = np.broadcast_to(_colour(rng, 0.7, (0.05, 0.35)), (size, size, 3)).astype(np.float32)
        for _ in range(int(rng.integers(6, 20))):
            at, radius = rng.uniform(0, 1, 2), rng.uniform(0.02, 0.07)
            disc = np.clip((radius - np.hypot(x - at[0], y - at[1])) * 40 + 0.5, 0, 1)
            picture = picture + (rng.uniform(0.2, 0.6) * disc)[..., None] * _colour(rng, 0.8, (0.6, 1.0))
        picture = cv2.GaussianBlur(picture, (0, 0), size * 0.01)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator, saturation: float, brightness: tuple[float, float]) -> np.ndarray:
    """A colour (3,) of any hue, at most so saturated, with a brightness from the range."""
    return 255 * np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, saturation), rng.uniform(*brightness)))
