"""How loud a recording is from moment to moment: what mouths, heads and measurements follow."""

from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter1d

from svp.media.audio import SAMPLE_RATE
from svp.media.video import FPS

TRACK_RATE: Final = 200  # steps per second at which power is averaged
BLUR_SECONDS: Final = 0.05  # sigma; shorter than a syllable, longer than a period of the voice
LOUD_SHARE: Final = 95  # percentile of a recording that counts as loud
LOUDEST: Final = 1.2
SILENT: Final = 1e-5  # a recording whose loud moments lie below is silent


def loudness(audio: np.ndarray, n_steps: int, rate: float = FPS) -> np.ndarray:
    """Loudness at the times k / rate.

    Args:
        audio: (samples,) at 16 kHz; what is missing at its end is silence.
        n_steps: N.
        rate: steps per second, at most 200: that of the frames by default.

    Returns:
        (N,) float32: 0 is silence, 1 as loud as the loud moments of the N steps, never more than 1.2.
    """
    hop = SAMPLE_RATE // TRACK_RATE
    steps = int(np.ceil(n_steps / rate * TRACK_RATE)) + 1
    power = np.zeros(steps)
    whole = min(len(audio) // hop, steps)
    blocks = audio[: whole * hop].reshape(whole, hop)
    power[:whole] = np.einsum("kh,kh->k", blocks, blocks) / hop  # nothing as long as the recording is held
    if whole < steps:
        power[whole] = np.square(audio[whole * hop :]).sum() / hop
    level = np.sqrt(gaussian_filter1d(power, BLUR_SECONDS * TRACK_RATE))
    loud = np.percentile(level, LOUD_SHARE)
    if loud <= SILENT:
        return np.zeros(n_steps, np.float32)
    at = np.round(np.arange(n_steps) / rate * TRACK_RATE).astype(int)
    return np.clip(level[at] / loud, 0, LOUDEST).astype(np.float32)
