"""Frames of a generated video laid over those of the true one, in one pass over both.

Shapes: H x W pixels.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import torch

from svp.evaluation.facts import PixelFacts
from svp.evaluation.psnr import frame_psnr
from svp.evaluation.ssim import frame_ssim

BATCH: Final = 16
SAME_ASPECT: Final = 0.01  # by how much two aspect ratios may differ and still show the same picture
RESIZE: Final = "the reference is resized to the generated video: area averages when shrunk, bicubic when enlarged"


class PixelComparison:
    """Takes the frames of two videos one by one and compares them."""

    def __init__(self) -> None:
        self.pairs: list[tuple[np.ndarray, np.ndarray]] = []
        self.psnr: list[np.ndarray] = []
        self.ssim: list[float] = []

    def add(self, frame: np.ndarray, true_frame: np.ndarray) -> None:
        """The next frame of each, (H, W, 3) uint8 of the same aspect ratio."""
        true_frame = fitted(true_frame, frame.shape[1], frame.shape[0])
        self.ssim.append(frame_ssim(frame, true_frame))
        self.pairs.append((frame, true_frame))
        if len(self.pairs) == BATCH:
            self._compare()

    def result(self) -> PixelFacts:
        """What was found, after the last frame."""
        if self.pairs:
            self._compare()
        return PixelFacts(np.concatenate([np.zeros(0, np.float32), *self.psnr]), np.array(self.ssim, np.float32))

    def _compare(self) -> None:
        given, true = (
            torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() for frames in zip(*self.pairs, strict=True)
        )
        self.psnr.append(frame_psnr(given, true).numpy())
        self.pairs = []


def same_aspect(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether pictures of two sizes (height, width) can be laid over each other."""
    ratio = size[1] / size[0] * other[0] / other[1]
    return abs(ratio - 1) <= SAME_ASPECT


def fitted(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """A picture at another size, without aliasing."""
    if frame.shape[:2] == (height, width):
        return frame
    shrinks = width * height < frame.shape[0] * frame.shape[1]
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
