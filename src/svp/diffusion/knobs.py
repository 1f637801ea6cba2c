"""Knobs of a performance, one for each thing it shows: the mouth, the head, the lids, the eyes.

They are no conditions beyond the paper's four: the mouth's scales the attention to the sound, the others change the
track of head poses before it becomes Head-Kps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from svp.errors import InputError
from svp.face.motion import HeadMotion
from svp.media.video import FPS

MOST_MOUTH: Final = 3.0
MOST_HEAD: Final = 2.0
MOST_BLINKS: Final = 60.0  # a minute
MOST_GAZE: Final = (25.0, 12.0)  # degrees to a side, up or down; a little further the pupil would leave the eye
_BLINKS_OF_SEED: Final = 2  # beside the numbers with which a motion library draws


@dataclass(frozen=True)
class Knobs:
    """What is changed of a performance; the defaults change nothing, to the bit.

    Attributes:
        mouth_amplitude: factor on what the sound adds to the picture, 0 to 3.
        head_amplitude: factor on turns and ways of the head about its rest, 0 (still) to 2.
        blink_rate: blinks a minute instead of the motion's own, 0 to 60; None leaves those.
        gaze: degrees by which the eyes look further to the right of the picture and up.

    Raises:
        InputError: if a value is out of reason.
    """

    mouth_amplitude: float = 1.0
    head_amplitude: float = 1.0
    blink_rate: float | None = None
    gaze: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        _need("mouth_amplitude", self.mouth_amplitude, MOST_MOUTH, "1 leaves the mouth as it is")
        _need("head_amplitude", self.head_amplitude, MOST_HEAD, "1 leaves the head motion as it is")
        if self.blink_rate is not None:
            _need("blink_rate", self.blink_rate, MOST_BLINKS, "blinks per minute, people have 10 to 25")
        if len(self.gaze) != 2 or not all(abs(turn) <= most for turn, most in zip(self.gaze, MOST_GAZE, strict=True)):
            right, up = MOST_GAZE
            given = ",".join(f"{turn:g}" for turn in self.gaze)
            raise InputError(f"gaze {given}: give degrees right and up, at most {right:g} and {up:g} either way")

    @property
    def head(self) -> bool:
        """Whether they change the track of head poses."""
        return self.head_amplitude != 1.0 or self.eyes

    @property
    def eyes(self) -> bool:
        """Whether they change blinks or gaze."""
        return self.blink_rate is not None or self.gaze != (0.0, 0.0)

    def change(self, motion: HeadMotion, seed: int) -> HeadMotion:
        """The motion as they want it; `seed` places the blinks."""
        motion = motion.amplified(self.head_amplitude).looking(*self.gaze)
        if self.blink_rate is None:
            return motion
        return motion.blinking(self.blink_rate, FPS, np.random.default_rng([seed, _BLINKS_OF_SEED]))


def parse_gaze(text: str) -> tuple[float, float]:
    """Degrees right and up of `RIGHT,UP`.

    Raises:
        InputError: if it is something else.
    """
    try:
        right, up = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"gaze {text}: give degrees right and up, such as 10,-5") from None
    return right, up


def _need(name: str, value: float, most: float, hint: str) -> None:
    if not (math.isfinite(value) and 0 <= value <= most):
        raise InputError(f"{name} {value:g}: give 0 to {most:g}; {hint}")


UNCHANGED: Final = Knobs()
