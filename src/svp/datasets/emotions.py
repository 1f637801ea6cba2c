"""The eight MEAD emotions as offsets of ARKit units, how they change speaking, and how they come and go.

Shapes: N frames, E units.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from svp.datasets.habits import smooth_noise
from svp.datasets.visemes import expand

LEVELS = (0.0, 0.45, 0.75, 1.0)  # share of the full expression at intensity 0, 1, 2, 3


@dataclass(frozen=True)
class Emotion:
    """An emotion at full intensity.

    Attributes:
        units: unit weights; a name without Left or Right means both sides.
        speaking: factor of the mouth's motion while speaking.
        liveliness: factor of head motion.
        blinking: factor of the blink rate.
        head: typical pitch (chin down positive) and roll in radians.
    """

    units: dict[str, float]
    speaking: float = 1.0
    liveliness: float = 1.0
    blinking: float = 1.0
    head: tuple[float, float] = (0.0, 0.0)


# Little of cheekSquint: landmark detectors do not see it, so clips of real people hardly ever show it.
EMOTIONS: dict[str, Emotion] = {
    "neutral": Emotion({}),
    "angry": Emotion(
        {"browDown": 1.25, "noseSneer": 0.6, "eyeSquint": 0.45, "eyeWide": 0.2, "mouthFrown": 0.4, "mouthUpperUp": 0.15}
        | {"mouthPress": 0.2, "jawForward": 0.25},
        speaking=1.3,
        liveliness=1.5,
        blinking=0.7,
        head=(0.05, 0.0),
    ),
    "contempt": Emotion(
        {"mouthSmileLeft": 0.55, "mouthDimpleLeft": 0.6, "mouthPressRight": 0.3, "browOuterUpLeft": 0.5}
        | {"browDownRight": 0.4, "eyeSquint": 0.35, "mouthLeft": 0.2},
        speaking=0.8,
        liveliness=0.7,
        head=(-0.07, 0.06),
    ),
    "disgusted": Emotion(
        {"noseSneer": 1.0, "mouthUpperUp": 0.55, "browDown": 0.6, "cheekSquint": 0.2, "mouthFrown": 0.5}
        | {"eyeSquint": 0.6, "mouthShrugLower": 0.3},
        speaking=0.95,
        head=(-0.04, -0.03),
    ),
    "fear": Emotion(
        {
            "browInnerUp": 1.2,
            "browOuterUp": 0.45,
            "browDown": 0.3,
            "eyeWide": 1.2,
            "mouthStretch": 0.8,
            "mouthLowerDown": 0.2,
        }
        | {"jawOpen": 0.06},
        speaking=0.95,
        liveliness=1.2,
        blinking=1.6,
        head=(-0.02, 0.0),
    ),
    "happy": Emotion(
        {"mouthSmile": 0.9, "cheekSquint": 0.25, "eyeSquint": 0.3, "mouthDimple": 0.25, "mouthUpperUp": 0.2}
        | {"browOuterUp": 0.2},
        speaking=1.1,
        liveliness=1.4,
        head=(-0.02, 0.03),
    ),
    "sad": Emotion(
        {"mouthFrown": 1.1, "browInnerUp": 1.2, "eyeBlink": 0.25, "mouthShrugLower": 0.4, "browDown": 0.15}
        | {"mouthPress": 0.1},
        speaking=0.7,
        liveliness=0.6,
        blinking=1.2,
        head=(0.09, -0.04),
    ),
    "surprised": Emotion(
        {"browInnerUp": 1.2, "browOuterUp": 1.2, "eyeWide": 1.2, "jawOpen": 0.14, "mouthFunnel": 0.15},
        speaking=1.2,
        liveliness=1.2,
        blinking=0.6,
        head=(-0.05, 0.0),
    ),
}


def emotion_track(
    emotion: str,
    intensity: int,
    n_frames: int,
    unit_names: Sequence[str],
    identity_rng: np.random.Generator,
    rng: np.random.Generator,
) -> np.ndarray:
    """Offsets (N,E) of an emotion that swells and ebbs slowly.

    Args:
        emotion: a key of EMOTIONS.
        intensity: 0 to 3; 0 gives zeros.
        identity_rng: decides how this person shows this emotion; equal for all clips of the person and emotion.
        rng: decides how it varies in this clip.
    """
    full = expand(EMOTIONS[emotion].units, unit_names)
    # Both sides of a face do much the same; what a person does one-sidedly is a habit (habits.py).
    names = [name.removesuffix("Left").removesuffix("Right") for name in unit_names]
    kinds, kind = np.unique(names, return_inverse=True)
    personal = full * np.clip(identity_rng.normal(1.0, 0.18, len(kinds)), 0.5, 1.5)[kind]
    swell = LEVELS[intensity] * (1.0 + 0.12 * smooth_noise(n_frames, 1, 1.2, rng))
    flicker = 1.0 + 0.10 * smooth_noise(n_frames, len(kinds), 0.5, rng)[:, kind]
    return (np.clip(swell, 0, 1.3) * flicker * personal).astype(np.float32)
