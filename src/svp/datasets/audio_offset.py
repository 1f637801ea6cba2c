"""By how much a clip's sound is early or late against its mouth.

The opening of the lips is predicted from the sound's energy in bands at one moment; the moment from which that works
best says where the sound belongs. Bands tell an open vowel from a loud fricative, plain loudness does not. The
prediction is a fixed one: what a clip of a few seconds could learn of itself fits noise (docs/prepare.md).

Shapes: N frames, M bands, L lags.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from svp.speech.log_mel import HOPS, MEL_BINS, log_mel_blocks

MAX_LAG = 10  # frames
# Lips move before the sound they shape. Seconds; eight broadcast clips in sync measured -0.01 to 0.05, median 0.02.
NATURAL_LEAD = 0.02
MIN_SECONDS = 2.0  # shorter clips do not tell
MIN_CORRELATION = 0.3
# Of the best lag over those more than three frames from it. Chance is larger in short clips.
MIN_PROMINENCE, PROMINENCE_IN_A_SECOND = 0.15, 0.5
_TREND_SECONDS = 0.5  # slower changes of the lip gap are mood and pose
_DYNAMIC_RANGE = 1.0  # of the log-mel features: 40 dB below the loud moments is silence
# Of the bands, low ones first, in the prediction of the lips: what scripts/learn_lip_weights.py printed.
LIP_WEIGHTS = (
    *(0.0512, -0.2191, -0.1229, -0.0202, 0.2093, 0.1197, -0.0371, -0.0830, 0.1019, 0.0869),
    *(0.0946, 0.0434, 0.1025, 0.0442, 0.0628, 0.0081, 0.1463, 0.0053, -0.0735, -0.0610),
)


@dataclass(frozen=True)
class AudioOffset:
    """What was measured.

    Attributes:
        seconds: how much later the sound has to be played (negative: earlier) to meet the mouth.
        correlation: of the predicted and the true lip gap, at the best lag.
        prominence: how much the correlation exceeds that of lags further than three frames away.
        certain: whether the clip is long and clear enough to act on it.
    """

    seconds: float
    correlation: float
    prominence: float
    certain: bool


def estimate_audio_offset(lip_gap: np.ndarray, audio: np.ndarray, fps: float) -> AudioOffset:
    """How far the sound has to be moved, within 10 frames.

    Args:
        lip_gap: (N,) any measure of how open the mouth is; NaN where it is not known.
        audio: (samples,) at 16 kHz.
        fps: frames per second.
    """
    n_frames = len(lip_gap)
    if n_frames < max(MIN_SECONDS * fps, 4 * MAX_LAG) or not np.isfinite(lip_gap).any():
        return AudioOffset(0.0, 0.0, 0.0, certain=False)
    gap_N = lip_movement(lip_gap, fps)
    predicted_N = standard_bands(audio, n_frames, fps) @ np.array(LIP_WEIGHTS)
    lags = range(-MAX_LAG, MAX_LAG + 1)
    score_L = np.array([_correlation(predicted_N, gap_N, lag) for lag in lags])
    best = int(score_L.argmax())
    prominence = float(score_L[best] - score_L[np.abs(np.arange(len(lags)) - best) > 3].max())
    lead = (lags[best] + _vertex(score_L, best)) / fps
    clear = prominence >= max(MIN_PROMINENCE, PROMINENCE_IN_A_SECOND / np.sqrt(n_frames / fps))
    certain = 0 < best < len(lags) - 1 and score_L[best] >= MIN_CORRELATION and clear
    return AudioOffset(float(NATURAL_LEAD - lead), float(score_L[best]), prominence, bool(certain))


def lip_movement(lip_gap: np.ndarray, fps: float) -> np.ndarray:
    """How open the mouth is (N,) against the time around; gaps of NaN are filled."""
    known_N, frames_N = np.isfinite(lip_gap), np.arange(len(lip_gap))
    lip_gap = np.interp(frames_N, frames_N[known_N], lip_gap[known_N])
    return lip_gap - gaussian_filter1d(lip_gap, _TREND_SECONDS * fps)


def standard_bands(audio: np.ndarray, n_frames: int, fps: float) -> np.ndarray:
    """Log energy in bands over the 50 ms around each frame's time, (N, M), of mean 0 and deviation 1."""
    near = slice(HOPS // 2 - 2, HOPS // 2 + 3)
    blocks = (block.numpy().reshape(-1, HOPS, MEL_BINS)[:, near] for block in log_mel_blocks(audio, n_frames, fps))
    bins_NM = np.concatenate([block.mean(axis=1) for block in blocks])
    bands_NM = bins_NM.reshape(n_frames, len(LIP_WEIGHTS), -1).mean(axis=2)
    bands_NM = np.maximum(bands_NM, np.quantile(bands_NM, 0.95) - _DYNAMIC_RANGE).astype(np.float64)
    return (bands_NM - bands_NM.mean(axis=0)) / (bands_NM.std(axis=0) + 1e-6)


def _correlation(predicted_N: np.ndarray, gap_N: np.ndarray, lag: int) -> float:
    """Of the mouth at frame i and the sound at frame i + lag; above zero the mouth leads. Fewer frames agree more by
    chance."""
    first, last = max(-lag, 0), min(len(gap_N) - lag, len(gap_N))
    predicted, gap = predicted_N[first + lag : last + lag], gap_N[first:last]
    if predicted.std() < 1e-12 or gap.std() < 1e-12:
        return 0.0
    return float(np.corrcoef(predicted, gap)[0, 1] * np.sqrt(len(gap) / len(gap_N)))


def _vertex(score_L: np.ndarray, best: int) -> float:
    """Where between the lags the parabola through the best one and its neighbours peaks, in [-0.5, 0.5]."""
    if not 0 < best < len(score_L) - 1:
        return 0.0
    before, top, after = score_L[best - 1 : best + 2]
    bend = before - 2 * top + after
    return float(0.5 * (before - after) / bend) if bend < 0 else 0.0
