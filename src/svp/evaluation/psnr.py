"""PSNR: how far the pixels are from the true ones."""

from typing import Final

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from svp.evaluation.metric import About, Metric, Pair

BEST: Final = 100.0  # dB, of equal frames, whose ratio is infinite


def frame_psnr(frames_B3HW: Tensor, true_B3HW: Tensor) -> Tensor:
    """PSNR of each frame, (B,) in dB, of pictures in [0, 255]; 100 where they are equal."""
    ratio = peak_signal_noise_ratio(frames_B3HW, true_B3HW, data_range=255.0, reduction="none", dim=(1, 2, 3))
    return torch.clamp(ratio, max=BEST)


def measure(pair: Pair) -> float:
    return float(np.mean(pair.compared.psnr))


PSNR = Metric(
    About(
        "psnr", "PSNR", "dB", "higher", "pixels",
        "paper Sec. 4.2; torchmetrics; all three channels together, mean over the frames",
        "Punishes a head that moves otherwise more than a wrong mouth; blur scores better than misplaced detail.",
    ),
    measure,
    framewise=True,
)  # fmt: skip
