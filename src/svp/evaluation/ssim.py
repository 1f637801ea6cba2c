"""SSIM: how alike the local structure is to the true one.

Shapes: H x W pixels.
"""

from typing import Final

import cv2
import numpy as np

from svp.evaluation.metric import About, Metric, Pair

SIGMA: Final = 1.5  # pixels
BORDER: Final = 5  # pixels: half a window
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # keep flat pictures from dividing by nothing


def frame_ssim(frame: np.ndarray, true_frame: np.ndarray) -> float:
    """SSIM (Wang et al. 2004) of two pictures (H, W, 3) uint8, each more than 10 pixels wide and high.

    Gaussian windows of 11 pixels; only whole ones count, as in scikit-image and in the original. That of torchmetrics
    takes six times as long, a third of all measuring of small pictures.
    """
    x, y = frame.astype(np.float32), true_frame.astype(np.float32)
    mean_x, mean_y = _windowed(x), _windowed(y)
    variances = _windowed(x * x + y * y) - mean_x**2 - mean_y**2  # their sum is all that counts
    covariance = _windowed(x * y) - mean_x * mean_y
    alike = (2 * mean_x * mean_y + C1) * (2 * covariance + C2)
    return float((alike / ((mean_x**2 + mean_y**2 + C1) * (variances + C2))).mean())


def _windowed(values: np.ndarray) -> np.ndarray:
    """Gaussian means (H - 10, W - 10, 3) over the whole windows of a picture."""
    means = cv2.GaussianBlur(values, (2 * BORDER + 1, 2 * BORDER + 1), SIGMA)
    return np.asarray(means[BORDER:-BORDER, BORDER:-BORDER])


def measure(pair: Pair) -> float:
    return float(np.mean(pair.compared.ssim))


SSIM = Metric(
    About(
        "ssim", "SSIM", "", "higher", "pixels",
        "Wang et al. 2004; paper Sec. 4.2; mean over the channels and frames",
        "Depends on the resolution: compare only figures made at the same size. Still backgrounds raise it.",
    ),
    measure,
    framewise=True,
)  # fmt: skip
