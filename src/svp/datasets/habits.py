"""How a person speaks and what the person does besides: mouth, brows, blinks, gaze and head, by the identity's habits.

Shapes: N frames at 25 fps. Picture axes: x right, y down, z away from the viewer; angles in radians.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from svp.face.motion import BLINK_COURSE, NECK
from svp.media.video import FPS

OPENING = ("jawOpen", "mouthLowerDown", "mouthUpperUp")
CORNERS = ("mouthSmile", "mouthDimple", "mouthFrown", "cheekSquint")
MAX_PITCH, MAX_YAW, MAX_ROLL = np.radians([11.0, 19.0, 10.0])


def smooth_noise(n_frames: int, channels: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Noise (N, channels) of unit variance that changes on a scale of `seconds`."""
    sigma = seconds * FPS / 2
    margin = int(4 * sigma) + 1
    white = rng.standard_normal((n_frames + 2 * margin, channels))
    smooth = gaussian_filter1d(white, sigma, axis=0)
    return smooth[margin : margin + n_frames] * np.sqrt(2 * sigma * np.sqrt(np.pi))


@dataclass(frozen=True)
class Habits:
    """How one person moves.

    Attributes:
        blink_rate: blinks per second.
        gaze_rate: glances per second.
        gaze_reach: typical size of a glance in eye widths, across and down.
        sway: typical pitch, yaw and roll of the slow head motion.
        nod: pitch per unit of loudness; sets how the head goes with the voice.
        pace: time scale of the head motion in seconds.
        rest: pitch, yaw and roll at which the head usually is.
        shift: typical translation in pupil distances, (3,).
        speaking: factor of the mouth's motion.
        opening: factor of how far lips and jaw part while speaking, beyond that.
        smile_balance: share by which the left corner of the mouth moves more than the right one (negative: less).
        brows: factor of what the brows do besides showing an emotion.
    """

    blink_rate: float
    gaze_rate: float
    gaze_reach: np.ndarray
    sway: np.ndarray
    nod: float
    pace: float
    rest: np.ndarray
    shift: np.ndarray
    speaking: float
    opening: float
    smile_balance: float
    brows: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Habits":
        """Habits of a new person."""
        return cls(
            blink_rate=rng.uniform(0.18, 0.55),
            gaze_rate=rng.uniform(0.3, 1.1),
            gaze_reach=np.array([rng.uniform(0.02, 0.09), rng.uniform(0.01, 0.03)]),
            sway=np.radians([rng.uniform(1.0, 3.5), rng.uniform(2.0, 6.5), rng.uniform(0.8, 3.0)]),
            nod=np.radians(rng.uniform(-1.0, 4.5)),
            pace=rng.uniform(0.5, 1.3),
            rest=np.radians(rng.normal(0.0, [1.0, 2.5, 1.2])),
            shift=np.array([0.05, 0.035, 0.03]) * rng.uniform(0.5, 1.5),
            speaking=rng.uniform(0.85, 1.2),
            opening=rng.uniform(0.75, 1.3),
            smile_balance=float(np.clip(rng.normal(0, 0.15), -0.35, 0.35)),
            brows=rng.uniform(0.3, 2.2),
        )

    def personal(self, unit_names: Sequence[str]) -> np.ndarray:
        """Factors (E,) of the units while this person speaks or smiles."""
        factors = np.ones(len(unit_names))
        for k, name in enumerate(unit_names):
            if name.startswith(OPENING):
                factors[k] *= self.opening
            if name.startswith(CORNERS):
                factors[k] *= 1 + self.smile_balance * (1 if name.endswith("Left") else -1)
        return factors

    def blinks(self, n_frames: int, rng: np.random.Generator, factor: float = 1.0) -> np.ndarray:
        """How far the lids are closed (N,), 0 to 1."""
        length = len(BLINK_COURSE)
        closed = np.zeros(n_frames + length)
        at = rng.exponential(FPS / (self.blink_rate * factor)) * 0.7
        while at < n_frames:
            start = int(at)
            closed[start : start + length] = np.maximum(closed[start : start + length], BLINK_COURSE)
            at += 12 + rng.exponential(FPS / (self.blink_rate * factor))
        return closed[:n_frames]

    def gaze(self, n_frames: int, rng: np.random.Generator) -> np.ndarray:
        """Pupil offsets (N,2) in eye widths: glances that jump and hold, now and then back to the viewer."""
        gaze = np.zeros((n_frames, 2))
        at = 0
        while at < n_frames:
            hold = max(5, int(rng.exponential(FPS / self.gaze_rate)))
            target = rng.normal(0, 1, 2) * self.gaze_reach if rng.random() < 0.7 else np.zeros(2)
            gaze[at : at + hold] = target
            at += hold
        gaze = gaussian_filter1d(gaze, 0.7, axis=0, mode="nearest")
        return np.clip(gaze, [-0.2, -0.08], [0.2, 0.08])

    def head(
        self,
        n_frames: int,
        rng: np.random.Generator,
        loudness: np.ndarray,
        bias: tuple[float, float] = (0.0, 0.0),
        liveliness: float = 1.0,
        yaw_range: tuple[float, float] = (-MAX_YAW, MAX_YAW),
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rotation (N,3,3) and translation (N,3) in pupil distances, relative to the portrait's pose.

        The translation is that of the point between the eyes, so it holds the turning about the neck.

        Args:
            loudness: (N,), 0 to 1.
            bias: pitch and roll that an emotion adds.
            liveliness: factor of the motion.
            yaw_range: how far the head may turn to either side.
        """
        angles = self.rest + np.radians(rng.normal(0, [1.0, 3.0, 1.0]))
        angles = angles + self.sway * liveliness * smooth_noise(n_frames, 3, self.pace, rng)
        beat = gaussian_filter1d(np.asarray(loudness, np.float64), 2.5, mode="nearest")
        angles[:, 0] += self.nod * liveliness * (beat - beat.mean()) + bias[0]
        angles[:, 2] += bias[1]
        low, high = max(yaw_range[0], -MAX_YAW), min(yaw_range[1], MAX_YAW)
        most = np.stack(
            [np.full(n_frames, MAX_PITCH), np.where(angles[:, 1] > 0, high, -low), np.full(n_frames, MAX_ROLL)], 1
        )
        angles = most * np.tanh(angles / most)
        rotation = Rotation.from_euler("YXZ", angles[:, [1, 0, 2]]).as_matrix()
        shift = self.shift * smooth_noise(n_frames, 3, 1.5 * self.pace, rng) * min(liveliness, 1.2)
        shift[:, 2] = 0.0  # weak perspective: depth is not seen
        neck = np.array(NECK)
        return rotation, shift + neck - rotation @ neck
