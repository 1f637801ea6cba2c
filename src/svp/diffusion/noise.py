"""Noise that depends on (seed, frame) alone, so that no frame changes with the length, the windows or the chunks.

Shapes: n frames, C latent channels, h x w latent grid, D channels of the style space.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SEED_RANGE = 2**64
STYLE_STREAM = 2**64 - 1  # the style's eps takes the last stream: no video has that many frames


def seed_of(generator: torch.Generator | None, seed: int) -> int:
    """The seed a call works with: a generator contributes its `initial_seed()` and is never advanced."""
    return (generator.initial_seed() if generator is not None else seed) % SEED_RANGE


def frame_noise(seed: int, first: int, last: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise of frames first … last - 1, each from its own stream.

    Args:
        seed: any integer.
        first, last: frame numbers from the start of the video, 0 <= first <= last.
        shape: of one frame's latents, (C, h, w).

    Returns:
        float32 (last - first, *shape) on the CPU.

    Raises:
        ValueError: if the range is impossible.
    """
    if not 0 <= first <= last < STYLE_STREAM:
        raise ValueError(f"frames {first} to {last} are no range")
    noise = np.empty((last - first, *shape), np.float32)
    for row, frame in enumerate(range(first, last)):
        noise[row] = _stream(seed, frame).standard_normal(shape, np.float32)
    return torch.from_numpy(noise)


def style_noise(seed: int, size: int) -> Tensor:
    """The eps (D,) of Eq. 4 for a whole video."""
    return torch.from_numpy(_stream(seed, STYLE_STREAM).standard_normal(size, np.float32))


def _stream(seed: int, number: int) -> np.random.Generator:
    """A counter-based generator with the pair as its key: torch's seeds would keep only 32 bits and repeat frames."""
    return np.random.Generator(np.random.Philox(key=np.array([seed % SEED_RANGE, number], np.uint64)))
