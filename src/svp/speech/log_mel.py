"""Log-mel frame features: 1920 numbers per video frame, without any weights.

Shapes: N video frames, M = 80 mel bins, H = 24 hops of 10 ms.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

from svp.media.audio import SAMPLE_RATE

HOP = 160
FFT = 400
MEL_BINS = 80
HOPS = 24
# 1e-10 is the quietest power; with this shift and scale speech lies around zero, as in Whisper's log-mel. Whisper's
# clamp relative to the loudest moment is left out: it would make a frame depend on distant ones.
_FLOOR, _SHIFT, _SCALE = 1e-10, 4.0, 4.0
_BLOCK_FRAMES = 500


def log_mel_features(audio: np.ndarray, n_frames: int, fps: float) -> Tensor:
    """Features of all frames, (N, H * M) float32; see `log_mel_blocks`."""
    return torch.cat([torch.zeros(0, HOPS * MEL_BINS), *log_mel_blocks(audio, n_frames, fps)])


def log_mel_blocks(audio: np.ndarray, n_frames: int, fps: float) -> Iterator[Tensor]:
    """Log power of the 24 hops around each frame: 12 before the frame's time i / fps and 12 from it on.

    Args:
        audio: (samples,) float32 at 16 kHz; silent before and after.
        n_frames: N.
        fps: frames per second.

    Yields:
        (n, H * M) float32, hop after hop, for successive frames.
    """
    times_N = np.floor(np.arange(n_frames) * (SAMPLE_RATE / HOP) / fps + 0.5).astype(np.int64)
    for start in range(0, n_frames, _BLOCK_FRAMES):
        hops_N = torch.from_numpy(times_N[start : start + _BLOCK_FRAMES])
        first, last = int(hops_N[0]) - HOPS // 2, int(hops_N[-1]) + HOPS // 2
        log_power_TM = _log_power(audio, first, last)
        index_NH = (hops_N - HOPS // 2 - first)[:, None] + torch.arange(HOPS)
        yield log_power_TM[index_NH].reshape(len(hops_N), HOPS * MEL_BINS)


def _log_power(audio: np.ndarray, first: int, last: int) -> Tensor:
    """(last - first, M): scaled log mel power of the hops first..last-1, hop j centred on sample 160 j."""
    start, stop = first * HOP - FFT // 2, (last - 1) * HOP + FFT // 2
    wave = np.zeros(stop - start, np.float32)
    inside = audio[max(0, start) : max(0, stop)]
    at = max(0, -start)
    wave[at : at + len(inside)] = inside
    spectrum_FT = torch.stft(
        torch.from_numpy(wave), FFT, HOP, window=torch.hann_window(FFT), center=False, return_complex=True
    )
    power_TM = spectrum_FT.abs().square().T @ _filters()
    return (power_TM.clamp(min=_FLOOR).log10() + _SHIFT) / _SCALE


@lru_cache(maxsize=1)
def _filters() -> Tensor:
    """(201, M): Slaney's mel filters, the ones Whisper uses."""
    filters = mel_filter_bank(
        num_frequency_bins=FFT // 2 + 1,
        num_mel_filters=MEL_BINS,
        min_frequency=0.0,
        max_frequency=SAMPLE_RATE / 2,
        sampling_rate=SAMPLE_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(filters).float()
