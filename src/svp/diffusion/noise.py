"""Noise that depends on (seed, frame) and the model alone: no frame changes with the length, the windows or the chunks.

Shapes: n frames, C latent channels, h x w latent grid, D channels of the style space.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SEED_RANGE = 2**64
STYLE_STREAM = 2**64 - 1  # the style's eps takes the last stream: no video has that many frames
SHARED_STREAM = 2**64 - 2


def seed_of(generator: torch.Generator | None, seed: int) -> int:
    """The seed a call works with: a generator contributes its `initial_seed()` and is never advanced."""
    return (generator.initial_seed() if generator is not None else seed) % SEED_RANGE


def frame_noise(seed: int, first: int, last: int, shape: tuple[int, ...], shared: float = 0.0) -> Tensor:
    """Standard normal noise of frames first … last - 1, each from its own stream, and of one that all frames share.

    Args:
        seed: any integer.
        first, last: frame numbers from the start of the video, 0 <= first <= last.
        shape: of one frame's latents, (C, h, w).
        shared: part of the variance that all frames have in common, see `mixed_noise`.

    Returns:
        float32 (last - first, *shape) on the CPU.

    Raises:
        ValueError: if the range is impossible.
    """
    if not 0 <= first <= last < SHARED_STREAM:
        raise ValueError(f"frames {first} to {last} are no range")
    noise = np.zeros((last - first, *shape), np.float32)
    if shared < 1:
        for row, frame in enumerate(range(first, last)):
            noise[row] = _stream(seed, frame).standard_normal(shape, np.float32)
    common = _stream(seed, SHARED_STREAM).standard_normal((1, *shape), np.float32)
    return mixed_noise(torch.from_numpy(noise), torch.from_numpy(common), shared)


def mixed_noise(own: Tensor, common: Tensor, shared: float) -> Tensor:
    """Standard normal noise of which frames share a part (Ge et al. 2023, "Preserve Your Own Correlation", Sec. 4.1).

    What differs from frame to frame only by its noise comes out different in every frame, and shimmers.

    Args:
        own: each frame's, standard normal.
        common: the same for all frames, standard normal, broadcast to `own`.
        shared: part of the variance that is common, in [0, 1]; 0 gives `own` as it is.
    """
    return own if shared == 0 else (1 - shared) ** 0.5 * own + shared**0.5 * common


def style_noise(seed: int, size: int) -> Tensor:
    """The eps (D,) of Eq. 4 for a whole video."""
    return torch.from_numpy(_stream(seed, STYLE_STREAM).standard_normal(size, np.float32))


def _stream(seed: int, number: int) -> np.random.Generator:
    """A counter-based generator with the pair as its key: torch's seeds would keep only 32 bits and repeat frames."""
    return np.random.Generator(np.random.Philox(key=np.array([seed % SEED_RANGE, number], np.uint64)))
