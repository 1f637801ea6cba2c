"""alpha of a recording, computed as the video is generated: only the part that is needed is held.

Shapes: A numbers per frame, F frames, W = 2 * radius + 1 alpha frames around a frame.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import torch
from torch import Tensor

from svp.media.recording import forget
from svp.media.video import FPS
from svp.memory import release_memory
from svp.speech.alpha import AudioEncoder, is_silent, silence

LOGGER: Final = logging.getLogger(__name__)


def recording_alpha(
    samples: np.ndarray, n_frames: int, size: int, encoder: Callable[[], AudioEncoder]
) -> Iterator[Tensor]:
    """Blocks (n, A) of alpha of a recording.

    Args:
        samples: at 16 kHz.
        n_frames: of the video.
        size: A.
        encoder: loads it; not called for a silent recording, which has zeros, as in training.
    """
    if is_silent(samples):
        LOGGER.info("the recording is silent: no sound moves the mouth")
        return silence(n_frames, size)
    return _heard(encoder(), samples, n_frames)


def _heard(encoder: AudioEncoder, samples: np.ndarray, n_frames: int) -> Iterator[Tensor]:
    """An encoder's blocks; what was heard of a long recording does not stay in memory."""
    for block_NA in encoder.stream(samples, n_frames, FPS):
        forget(samples)
        yield block_NA


def audio_windows(
    alpha_NA: Tensor, first: int, start: int, stop: int, n_frames: int, radius: int, zero_edges: bool
) -> Tensor:
    """alpha of the frames i-radius … i+radius around each frame i of start … stop - 1, (F, W, A).

    Args:
        alpha_NA: of the frames from `first` on, all that are needed.
        n_frames: of the whole recording.
        zero_edges: what lies outside of the recording is zeros, instead of its first and last frame again.
    """
    frames_FW = torch.arange(start, stop)[:, None] + torch.arange(-radius, radius + 1)
    windows_FWA = alpha_NA[frames_FW.clamp(0, n_frames - 1) - first]
    if zero_edges:
        windows_FWA[(frames_FW < 0) | (frames_FW >= n_frames)] = 0
    return windows_FWA


class AudioTrack:
    """Audio windows of a recording, in order.

    Args:
        blocks: alpha of successive frames, (n, A) each: an encoder's `stream`, or `silence`.
        n_frames: frames of the video.
        radius: alpha frames on either side.
        zero_edges: as in `audio_windows`.
    """

    def __init__(self, blocks: Iterator[Tensor], n_frames: int, radius: int, zero_edges: bool = False) -> None:
        self.n_frames, self.radius, self.zero_edges = n_frames, radius, zero_edges
        self._blocks = blocks
        self._held = torch.zeros(0)
        self._first = 0  # frame of the first held row

    def windows(self, start: int, stop: int) -> Tensor:
        """alpha of the frames i-radius … i+radius around each frame i of start … stop - 1.

        Successive calls must not go back by more than what the call before began with.

        Returns:
            (F, W, A) float32 on the CPU.
        """
        if not 0 <= start < stop <= self.n_frames or max(0, start - self.radius) < self._first:
            raise ValueError(f"audio of frames {start} to {stop} of {self.n_frames}, held from {self._first}")
        while self._first + len(self._held) < min(stop + self.radius, self.n_frames):
            self._drop(start)  # of a video that goes on in its middle nothing before it is held
            release_memory()  # an encoder takes much for a moment: before it, of the networks, and after it, its own
            block_NA = next(self._blocks)
            release_memory()
            self._held = torch.cat((self._held, block_NA)) if len(self._held) else block_NA
        windows_FWA = audio_windows(self._held, self._first, start, stop, self.n_frames, self.radius, self.zero_edges)
        self._drop(start)
        return windows_FWA

    def _drop(self, start: int) -> None:
        """Forget what no window of the frames from `start` on needs."""
        drop = min(max(0, start - self.radius - self._first), len(self._held))
        self._held, self._first = self._held[drop:].clone(), self._first + drop
