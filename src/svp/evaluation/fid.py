"""FID (Heusel et al. 2017): whether single frames look like those of real videos, by Inception's features.

Shapes: N frames, D = 2048 features.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from torch import nn

from svp.evaluation.batches import batches
from svp.evaluation.facts import VideoFacts
from svp.evaluation.frechet import frechet_distance
from svp.evaluation.metric import About, SetMetric
from svp.weights.network import device_of

BATCH: Final = 16


@torch.inference_mode()
def frame_features(frames: Iterable[np.ndarray], inception: nn.Module) -> np.ndarray:
    """Features (N, D) float32.

    Args:
        frames: at least one, (H, W, 3) uint8 RGB, all of one size; the network resizes them itself.
        inception: see `weights.load_inception`.
    """
    features = []
    for batch in batches(frames, BATCH):
        pictures = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).contiguous()
        features.append(inception(pictures.to(device_of(inception))).float().cpu().numpy())
    return np.concatenate(features)


def measured_features(video: VideoFacts) -> np.ndarray:
    return video.measured_by("inception")


FID = SetMetric(
    About(
        "fid", "FID", "", "lower", "inception",
        "Frechet distance (Heusel et al. 2017) of Inception's 2048 features of every frame at 25 fps; covariances over "
        "N - 1, in float64, as torchmetrics; the network file itself resizes the pictures to 299, as TensorFlow did",
        "Grows with fewer frames and does not compare between sets of different sizes; fewer than 2048 frames have a "
        "singular covariance. Frames of one clip are alike: what counts are clips. Says nothing of motion, sound or "
        "whether the right person is shown. Resolution and compression move it.",
    ),
    measured_features,
    frechet_distance,
    least_clips=50,
)  # fmt: skip
