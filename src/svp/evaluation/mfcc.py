"""Mel-frequency cepstral coefficients as SyncNet was trained on: the conventions of python_speech_features 0.6.

Rectangular windows of 25 ms every 10 ms, 26 filters, 13 coefficients of which the first is the log energy. Other MFCCs
(librosa, torchaudio) differ in every one of these.

Shapes: T windows.
"""

from typing import Final

import numpy as np
from scipy.fft import dct

SAMPLE_RATE: Final = 16_000
WINDOW, STEP, FFT_SIZE = 400, 160, 512  # samples
FILTERS, COEFFICIENTS = 26, 13
PRE_EMPHASIS, LIFTER = 0.97, 22


def mfcc(samples: np.ndarray) -> np.ndarray:
    """Coefficients (T, 13) float64.

    Args:
        samples: (n,) at 16 kHz, n >= 1, in the range of int16 (not scaled to 1); T = 1 + ceil((n - 400) / 160), the
            last window is filled up with zeros.

    Raises:
        ValueError: there is no sample.
    """
    signal = np.asarray(samples, np.float64)
    if signal.ndim != 1 or len(signal) == 0:
        raise ValueError(f"expected samples (n,) of at least one, got {signal.shape}")
    signal = np.append(signal[0], signal[1:] - PRE_EMPHASIS * signal[:-1])
    count = 1 + max(0, int(np.ceil((len(signal) - WINDOW) / STEP)))
    signal = np.pad(signal, (0, (count - 1) * STEP + WINDOW - len(signal)))
    windows = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::STEP][:count]
    power = np.abs(np.fft.rfft(windows, FFT_SIZE)) ** 2 / FFT_SIZE
    energy = _positive(power.sum(axis=1))
    cepstrum = dct(np.log(_positive(power @ _mel_filters().T)), type=2, axis=1, norm="ortho")[:, :COEFFICIENTS]
    cepstrum *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / LIFTER)
    cepstrum[:, 0] = np.log(energy)  # after the liftering
    return np.asarray(cepstrum)


def _mel_filters() -> np.ndarray:
    """Triangles (26, 257) whose corners lie on whole bins."""
    mel = np.linspace(0, 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700), FILTERS + 2)
    corners = np.floor((FFT_SIZE + 1) * 700 * (10 ** (mel / 2595) - 1) / SAMPLE_RATE)
    filters = np.zeros((FILTERS, FFT_SIZE // 2 + 1))
    for row, (low, top, high) in zip(filters, zip(corners, corners[1:], corners[2:], strict=False), strict=True):
        rising, falling = np.arange(int(low), int(top)), np.arange(int(top), int(high))
        row[rising] = (rising - low) / (top - low)
        row[falling] = (high - falling) / (high - top)
    return filters


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(values == 0, np.finfo(float).eps, values)
