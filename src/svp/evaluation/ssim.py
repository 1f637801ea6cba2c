"""SSIM: how alike the local structure is to the true one."""

from typing import Final

import numpy as np
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from svp.evaluation.metric import About, Metric, Pair

BORDER: Final = 5  # pixels: half a window


def frame_ssim(frames_B3HW: Tensor, true_B3HW: Tensor) -> Tensor:
    """SSIM of each frame, (B,), of pictures in [0, 255]; Gaussian window of 11 pixels, sigma 1.5.

    Only whole windows count, as in scikit-image and in the original; torchmetrics' own mean takes those too that reach
    over the border, on a reflected picture.
    """
    _, similarity_B3HW = structural_similarity_index_measure(
        frames_B3HW, true_B3HW, sigma=1.5, data_range=255.0, reduction="none", return_full_image=True
    )
    return similarity_B3HW[..., BORDER:-BORDER, BORDER:-BORDER].mean(dim=(1, 2, 3))


def measure(pair: Pair) -> float:
    return float(np.mean(pair.compared.ssim))


SSIM = Metric(
    About(
        "ssim", "SSIM", "", "higher", "pixels",
        "Wang et al. 2004; paper Sec. 4.2; torchmetrics; mean over the channels and frames",
        "Depends on the resolution: compare only figures made at the same size. Still backgrounds raise it.",
    ),
    measure,
)  # fmt: skip
