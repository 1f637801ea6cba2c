"""How a long video is cut: chunks that follow each other in time, overlapping windows inside a chunk.

The networks see one window at a time. Windows of a chunk are denoised together (their predictions are averaged where
they overlap), chunks one after the other. Any length of one frame or more works; time is never stretched.

Shapes: B videos, C latent channels, F frames of a window, N frames of a chunk.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """Frames start … stop - 1."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Chunk:
    """Frames start … stop - 1 of the video, of which the first `known` were finished by the chunk before."""

    start: int
    stop: int
    known: int

    def __len__(self) -> int:
        return self.stop - self.start


def check_sizes(window: int, overlap: int, chunk: int) -> None:
    """Raise ValueError unless 0 <= overlap < window <= chunk."""
    if not 0 <= overlap < window <= chunk:
        raise ValueError(f"need 0 <= overlap < window <= chunk, got overlap {overlap}, window {window}, chunk {chunk}")


def plan_windows(n_frames: int, window: int, overlap: int) -> list[Window]:
    """Windows of `window` frames that cover n_frames.

    Neighbours share `overlap` frames; the last window is shifted back to end with the last frame, so it may share
    more. Fewer frames than a window are one short window.

    Raises:
        ValueError: if there is no frame, or the overlap is not smaller than the window.
    """
    if n_frames < 1:
        raise ValueError(f"a video has at least one frame, got {n_frames}")
    check_sizes(window, overlap, window)
    if n_frames <= window:
        return [Window(0, n_frames)]
    starts = [*range(0, n_frames - window, window - overlap), n_frames - window]
    return [Window(start, start + window) for start in starts]


def plan_chunks(n_frames: int, chunk: int, window: int, overlap: int) -> list[Chunk]:
    """Chunks of at most `chunk` frames that cover n_frames.

    The first `overlap` frames of a chunk are the last ones of the chunk before. If fewer frames than a window remain
    for the last chunk, it starts earlier and has more known frames: the networks were trained on whole windows.

    Raises:
        ValueError: as in `plan_windows`, and if a chunk is shorter than a window.
    """
    if n_frames < 1:
        raise ValueError(f"a video has at least one frame, got {n_frames}")
    check_sizes(window, overlap, chunk)
    chunks = [Chunk(0, min(chunk, n_frames), 0)]
    while (done := chunks[-1].stop) < n_frames:
        stop = min(done - overlap + chunk, n_frames)
        start = min(done - overlap, stop - window)
        chunks.append(Chunk(start, stop, done - start))
    return chunks


def average_windows(windows: list[Window], predictions: list[Tensor], n_frames: int) -> Tensor:
    """The mean over windows for every frame.

    Args:
        windows: they cover all n_frames.
        predictions: one (B, C, F, h, w) per window.

    Returns:
        (B, C, N, h, w).
    """
    batch, channels, _, height, width = predictions[0].shape
    total = predictions[0].new_zeros(batch, channels, n_frames, height, width)
    for window, prediction in zip(windows, predictions, strict=True):
        total[:, :, window.start : window.stop] += prediction
    return total / coverage(windows, n_frames).to(total)[:, None, None]


def coverage(windows: list[Window], n_frames: int) -> Tensor:
    """How many windows hold each frame, (N,)."""
    count = torch.zeros(n_frames, dtype=torch.int64)
    for window in windows:
        count[window.start : window.stop] += 1
    return count
