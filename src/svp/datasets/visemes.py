"""Phones and loudness become tracks of ARKit units: what the mouth does while somebody speaks.

Shapes: N frames at 25 fps, E units.
"""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from svp.datasets.phones import Phone
from svp.media.video import FPS
from svp.speech.loudness import TRACK_RATE, loudness

BLEND_SECONDS = 0.045  # sigma of co-articulation: neighbouring phones run into each other over about 100 ms
CLOSURE_SECONDS = 0.014  # sigma of the edges of a lip closure, which is quicker than anything else the mouth does
# Lips are shaped before they are heard: sound predicts the lips of real clips better a frame early than in time or two.
LEAD_SECONDS = 0.04

# Targets of each mouth shape; a name without Left or Right means both sides. How far each parts the lips follows the
# lip gaps of real speakers per phone: CMU's AH is mostly a weak vowel, and OW and W nearly close the lips.
_SHAPES: dict[str, dict[str, float]] = {
    "open": {"jawOpen": 0.50, "mouthLowerDown": 0.25, "mouthUpperUp": 0.12},
    "wide": {"jawOpen": 0.62, "mouthStretch": 0.35, "mouthLowerDown": 0.42, "mouthUpperUp": 0.22},
    "half": {"jawOpen": 0.20, "mouthLowerDown": 0.18, "mouthUpperUp": 0.05},
    "schwa": {"jawOpen": 0.20, "mouthLowerDown": 0.15},
    "mid": {"jawOpen": 0.42, "mouthStretch": 0.25, "mouthLowerDown": 0.30, "mouthUpperUp": 0.10},
    "narrow": {"jawOpen": 0.24, "mouthStretch": 0.30, "mouthLowerDown": 0.25},
    "spread": {"jawOpen": 0.10, "mouthStretch": 0.50, "mouthSmile": 0.12, "mouthLowerDown": 0.30, "mouthUpperUp": 0.08},
    "round": {"jawOpen": 0.28, "mouthFunnel": 0.42, "mouthLowerDown": 0.10},
    "pursed": {"jawOpen": 0.05, "mouthPucker": 0.90, "mouthFunnel": 0.20},
    "loose": {"jawOpen": 0.13, "mouthPucker": 0.45, "mouthFunnel": 0.20},
    "closed": {"mouthPress": 0.35, "mouthRollLower": 0.20, "mouthRollUpper": 0.10},
    "lip on teeth": {"jawOpen": 0.05, "mouthRollLower": 0.55, "mouthUpperUp": 0.25},
    "tongue": {"jawOpen": 0.15, "mouthLowerDown": 0.25},
    "tip": {"jawOpen": 0.13, "mouthLowerDown": 0.18},
    "hiss": {"jawOpen": 0.07, "mouthStretch": 0.28, "mouthLowerDown": 0.28, "mouthUpperUp": 0.12},
    "hush": {"jawOpen": 0.08, "mouthFunnel": 0.65, "mouthLowerDown": 0.18, "mouthUpperUp": 0.12},
    "back": {"jawOpen": 0.18, "mouthLowerDown": 0.12},
    "rhotic": {"jawOpen": 0.10, "mouthFunnel": 0.35, "mouthPucker": 0.25},
    "rest": {},
}
# Diphthongs go from one shape to another.
_PHONES: dict[str, tuple[str, ...]] = {
    **{"aa": ("open",), "ae": ("wide",), "ah": ("half",), "ax": ("schwa",), "ao": ("round",), "eh": ("mid",)},
    **{"er": ("rhotic",), "ih": ("narrow",), "iy": ("spread",), "uh": ("loose",), "uw": ("pursed",)},
    **{"aw": ("open", "pursed"), "ay": ("wide", "spread"), "ey": ("mid", "spread"), "ow": ("loose", "pursed")},
    **{"oy": ("round", "spread")},
    **dict.fromkeys(("b", "p", "m"), ("closed",)),
    **dict.fromkeys(("f", "v"), ("lip on teeth",)),
    **dict.fromkeys(("th", "dh"), ("tongue",)),
    **dict.fromkeys(("t", "d", "n", "dx"), ("tip",)),
    **dict.fromkeys(("s", "z"), ("hiss",)),
    **dict.fromkeys(("sh", "zh", "ch", "jh"), ("hush",)),
    **dict.fromkeys(("k", "g", "ng"), ("back",)),
    **{"hh": ("mid",), "l": ("narrow",), "r": ("rhotic",), "w": ("pursed",), "y": ("narrow",), "pau": ("rest",)},
}
# How far a shape forbids the lips to be apart.
_CLOSURE = {"closed": 1.0, "lip on teeth": 0.75}
# Units that part the lips, and how much of them a closure takes away.
_OPENING_UNITS = {"jawOpen": 1.0, "mouthLowerDown": 1.0, "mouthUpperUp": 1.0, "mouthFunnel": 1.0, "mouthStretch": 0.7}
_OPENING_UNITS |= {"noseSneer": 0.4, "mouthSmile": 0.3}


def speech_track(
    phones: Sequence[Phone], audio: np.ndarray, n_frames: int, unit_names: Sequence[str], amplitude: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Mouth units (N,E) of spoken phones, and how far the lips must be closed in each frame (N,), 0 to 1.

    Args:
        phones: in order; time between them counts as a pause, unknown names as an unstressed vowel.
        audio: (samples,) at 16 kHz, whose loudness scales how far the mouth opens.
        n_frames: N.
        unit_names: the E units of the face model.
        amplitude: overall size of the motion; lip closures stay closures.
    """
    steps = int(np.ceil((n_frames / FPS + LEAD_SECONDS) * TRACK_RATE)) + 1
    targets = np.zeros((steps, len(unit_names)))
    closure = np.zeros(steps)
    for phone in phones:
        shapes = _PHONES.get(phone.name, ("schwa",))
        edges = np.linspace(phone.start, phone.end, len(shapes) + 1)
        for shape, start, end in zip(shapes, edges[:-1], edges[1:], strict=True):
            span = slice(round(start * TRACK_RATE), max(round(end * TRACK_RATE), round(start * TRACK_RATE) + 1))
            targets[span] = shape_vector(shape, unit_names)
            closure[span] = _CLOSURE.get(shape, 0.0)
    smooth = gaussian_filter1d(targets, BLEND_SECONDS * TRACK_RATE, axis=0, mode="nearest")
    smooth *= amplitude * (0.65 + 0.5 * loudness(audio, steps, TRACK_RATE))[:, None]
    # A closure lasts at least as long as a frame, so that every /b m p/ is seen in one.
    held = maximum_filter1d(closure, 1 + 2 * round(0.5 * TRACK_RATE / FPS))
    shut = np.maximum(gaussian_filter1d(held, CLOSURE_SECONDS * TRACK_RATE, mode="nearest"), closure)
    at = np.minimum(np.round((np.arange(n_frames) / FPS + LEAD_SECONDS) * TRACK_RATE).astype(int), steps - 1)
    return closed(smooth[at], shut[at], unit_names), shut[at]


def closed(track: np.ndarray, shut: np.ndarray, unit_names: Sequence[str]) -> np.ndarray:
    """A track (N,E) whose lips meet where `shut` (N,) is 1, whatever else the face does."""
    opening = sum(expand({name: share}, unit_names) for name, share in _OPENING_UNITS.items())
    return track * (1 - shut[:, None] * opening)


def shape_vector(shape: str, unit_names: Sequence[str]) -> np.ndarray:
    """Weights (E,) of a mouth shape."""
    return expand(_SHAPES[shape], unit_names)


def expand(weights: dict[str, float], unit_names: Sequence[str]) -> np.ndarray:
    """Weights (E,) from names; a name without Left or Right sets both sides.

    Raises:
        ValueError: a name that no unit has.
    """
    vector = np.zeros(len(unit_names))
    for name, weight in weights.items():
        columns = [k for k, unit in enumerate(unit_names) if unit in (name, f"{name}Left", f"{name}Right")]
        if not columns:
            raise ValueError(f"the face model has no unit {name!r}")
        vector[columns] = weight
    return vector
