"""By how much a clip's sound is early or late against its mouth.

The opening of the lips is predicted from the sound's energy in bands at one moment; the moment from which that works
best says where the sound belongs. The prediction is learned on four fifths of the clip and scored on the rest, so that
no lag is preferred for fitting noise. Bands tell an open vowel from a loud fricative, plain loudness does not.

Shapes: N frames, M bands, L lags.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from svp.speech.log_mel import HOPS, MEL_BINS, log_mel_blocks

MAX_LAG = 10  # frames
# Lips move before the sound they shape. Seconds; eight broadcast clips in sync measured -0.01 to 0.05, median 0.02.
NATURAL_LEAD = 0.02
MIN_SECONDS = 4.0  # shorter clips do not tell
MIN_CORRELATION = 0.3
MIN_PROMINENCE = 0.15  # of the best lag over those more than three frames from it
_TREND_SECONDS = 0.5  # slower changes of the lip gap are mood and pose
_BANDS = 20
_DYNAMIC_RANGE = 1.0  # of the log-mel features: 40 dB below the loud moments is silence
_RIDGE = 0.1
_FOLDS = 5


@dataclass(frozen=True)
class AudioOffset:
    """What was measured.

    Attributes:
        seconds: how much later the sound has to be played (negative: earlier) to meet the mouth.
        correlation: of the predicted and the true lip gap on held-out frames, at the best lag.
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
    if n_frames < max(MIN_SECONDS * fps, 4 * MAX_LAG):
        return AudioOffset(0.0, 0.0, 0.0, certain=False)
    known_N, frames_N = np.isfinite(lip_gap), np.arange(n_frames)
    if not known_N.any():
        return AudioOffset(0.0, 0.0, 0.0, certain=False)
    lip_gap = np.interp(frames_N, frames_N[known_N], lip_gap[known_N])
    gap_N = lip_gap - gaussian_filter1d(lip_gap, _TREND_SECONDS * fps)
    bands_NM = _band_energies(audio, n_frames, fps)
    inner = slice(MAX_LAG, n_frames - MAX_LAG)
    # Lag l pairs the mouth at frame i with the sound at frame i + l; above zero the mouth leads.
    lags = np.arange(-MAX_LAG, MAX_LAG + 1)
    score_L = np.array(
        [_held_out_correlation(bands_NM[MAX_LAG + lag : n_frames - MAX_LAG + lag], gap_N[inner]) for lag in lags]
    )
    best = int(score_L.argmax())
    prominence = float(score_L[best] - score_L[np.abs(np.arange(len(lags)) - best) > 3].max())
    lead = (lags[best] + _vertex(score_L, best)) / fps
    certain = 0 < best < len(lags) - 1 and score_L[best] >= MIN_CORRELATION and prominence >= MIN_PROMINENCE
    return AudioOffset(float(NATURAL_LEAD - lead), float(score_L[best]), prominence, bool(certain))


def _band_energies(audio: np.ndarray, n_frames: int, fps: float) -> np.ndarray:
    """Log energy in bands over the 50 ms around each frame's time, (N, M)."""
    near = slice(HOPS // 2 - 2, HOPS // 2 + 3)
    blocks = (block.numpy().reshape(-1, HOPS, MEL_BINS)[:, near] for block in log_mel_blocks(audio, n_frames, fps))
    bins_NM = np.concatenate([block.mean(axis=1) for block in blocks])
    bands_NM = bins_NM.reshape(n_frames, _BANDS, -1).mean(axis=2)
    return np.maximum(bands_NM, np.quantile(bands_NM, 0.95) - _DYNAMIC_RANGE).astype(np.float64)


def _held_out_correlation(bands_NM: np.ndarray, gap_N: np.ndarray) -> float:
    predicted_N = np.zeros_like(gap_N)
    for held in np.array_split(np.arange(len(gap_N)), _FOLDS):
        learned = np.ones(len(gap_N), bool)
        learned[held] = False
        mean_M, deviation_M = bands_NM[learned].mean(axis=0), bands_NM[learned].std(axis=0) + 1e-6
        known_NM = (bands_NM[learned] - mean_M) / deviation_M
        covariance_MM = known_NM.T @ known_NM / len(known_NM) + _RIDGE * np.eye(bands_NM.shape[1])
        weights_M = np.linalg.solve(covariance_MM, known_NM.T @ (gap_N[learned] - gap_N[learned].mean()))
        predicted_N[held] = (bands_NM[held] - mean_M) / deviation_M @ weights_M
    if predicted_N.std() < 1e-12 or gap_N.std() < 1e-12:
        return 0.0
    return float(np.corrcoef(predicted_N, gap_N)[0, 1])


def _vertex(score_L: np.ndarray, best: int) -> float:
    """Where between the lags the parabola through the best one and its neighbours peaks, in [-0.5, 0.5]."""
    if not 0 < best < len(score_L) - 1:
        return 0.0
    before, top, after = score_L[best - 1 : best + 2]
    bend = before - 2 * top + after
    return float(0.5 * (before - after) / bend) if bend < 0 else 0.0
