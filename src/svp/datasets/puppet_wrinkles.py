"""Wrinkles that come and go with the expression: folds drawn into the skin of a portrait, soft and dark, with light
beside them where flesh is pushed up.

Shapes: E expression units, L side of the person's layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np


@dataclass(frozen=True)
class Fold:
    """What a unit does to the skin.

    Attributes:
        unit: at 1 the fold is as deep as it gets.
        dark, light: lines through landmarks.
        depth: share of the light that is lost in the dark lines; half as much is gained along the light ones.
        width: of the dark lines, in pupil distances; light ones are three times as wide.
    """

    unit: str
    dark: tuple[tuple[int, ...], ...]
    light: tuple[tuple[int, ...], ...]
    depth: float
    width: float = 0.04


DARKEST: Final = 0.55  # where folds of both sides meet
# Landmarks of the person's right side come first, as in `topology`.
FOLDS: Final = (
    Fold("noseSneerRight", ((193, 168), (122, 6), (196, 197), (48, 49, 129, 203, 206)), ((50, 101),), 0.45),
    Fold("noseSneerLeft", ((417, 168), (351, 6), (419, 197), (278, 279, 358, 423, 426)), ((280, 330),), 0.45),
    Fold("mouthSmileRight", ((129, 203, 206, 216),), ((205, 207),), 0.25),
    Fold("mouthSmileLeft", ((358, 423, 426, 436),), ((425, 427),), 0.25),
    Fold("browDownRight", ((8, 55),), (), 0.3, width=0.03),
    Fold("browDownLeft", ((8, 285),), (), 0.3, width=0.03),
    Fold("browInnerUp", ((69, 108, 151, 337, 299),), (), 0.2, width=0.03),
    Fold("browOuterUpRight", ((104, 69),), (), 0.2, width=0.03),
    Fold("browOuterUpLeft", ((333, 299),), (), 0.2, width=0.03),
)


class Wrinkles:
    """The folds of one portrait.

    Args:
        points: (478,2) landmarks in the person's layer, in its pixels.
        side: L of that layer.
        pupil_distance: in pixels.
        unit_names: of the expressions that `shade` is given.
    """

    def __init__(self, points: np.ndarray, side: int, pupil_distance: float, unit_names: Sequence[str]) -> None:
        reach = round(0.2 * pupil_distance)
        used = np.array([points[k] for fold in FOLDS for line in (*fold.dark, *fold.light) for k in line])
        low = np.clip(np.floor(used.min(0)).astype(int) - reach, 0, side - 1)
        high = np.clip(np.ceil(used.max(0)).astype(int) + reach, 1, side)
        self._window = slice(low[1], high[1]), slice(low[0], high[0])
        height, width = high[1] - low[1], high[0] - low[0]

        def drawn(lines: Sequence[Sequence[int]], thickness: float) -> np.ndarray:
            picture = np.zeros((height, width), np.float32)
            for line in lines:
                corners = np.rint((points[list(line), :2] - low) * 8).astype(np.int32)
                cv2.polylines(picture, [corners], False, 1.0, max(1, round(thickness)), cv2.LINE_AA, shift=3)
            return cv2.GaussianBlur(picture, (0, 0), 0.5 * thickness + 0.6)

        thin = [fold.width * pupil_distance for fold in FOLDS]
        fields = [
            fold.depth * (0.5 * drawn(fold.light, 3 * t) - drawn(fold.dark, t))
            for fold, t in zip(FOLDS, thin, strict=True)
        ]
        self._units = [unit_names.index(fold.unit) for fold in FOLDS]
        self._fields = np.stack(fields).reshape(len(FOLDS), -1)
        self._shape = (height, width)

    def shade(self, person: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """The person's layer (L,L,4) uint8, colours multiplied by alpha, with the folds of an expression (E,)."""
        depths = np.clip(expression[self._units], 0, 1).astype(np.float32)
        if not depths.any():
            return person
        light = np.maximum(1 + depths @ self._fields, DARKEST).reshape(self._shape)
        shaded = person.copy()
        skin = shaded[self._window]
        # alpha bounds colours that are multiplied by it
        skin[..., :3] = np.rint(np.minimum(skin[..., :3] * light[..., None], skin[..., 3:])).astype(np.uint8)
        return shaded
