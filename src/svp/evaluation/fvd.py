"""FVD (Unterthiner et al. 2018): whether short clips move like real ones, by I3D's logits.

Shapes: W windows of T = 16 frames, D = 400 logits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svp.evaluation.batches import batches
from svp.evaluation.facts import Unmeasurable, VideoFacts
from svp.evaluation.frechet import frechet_distance
from svp.evaluation.metric import About, SetMetric
from svp.weights.network import device_of

WINDOW: Final = 16  # frames; the next window begins where it ends: no frame counts twice
SIZE: Final = 224  # pixels


def clip_tensor(frames: np.ndarray) -> Tensor:
    """Frames (T, H, W, 3) uint8 RGB as I3D takes them: (3, T, 224, 224) float32 in [-1, 1].

    The shorter side becomes 224 pixels (bilinear), the middle is cut out, as in VideoGPT and StyleGAN-V.
    """
    height, width = frames.shape[1:3]
    scale = SIZE / min(height, width)
    size = (SIZE, math.ceil(width * scale)) if height <= width else (math.ceil(height * scale), SIZE)
    pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    pictures = F.interpolate(pictures, size, mode="bilinear", align_corners=False)
    top, left = (size[0] - SIZE) // 2, (size[1] - SIZE) // 2
    return (2 * pictures[:, :, top : top + SIZE, left : left + SIZE] - 1).transpose(0, 1)


@torch.inference_mode()
def window_features(frames: Iterable[np.ndarray], i3d: nn.Module) -> np.ndarray:
    """Logits (W, D) float32 of the windows of a video, without the rest that fills none.

    Args:
        frames: (H, W, 3) uint8 RGB at 25 fps, read one by one.
        i3d: see `weights.load_i3d`.

    Raises:
        Unmeasurable: the video is shorter than one window.
    """
    features, n_frames = [], 0
    for window in batches(frames, WINDOW):
        n_frames += len(window)
        if len(window) == WINDOW:
            clip = clip_tensor(np.stack(window))[None]
            features.append(i3d(clip.to(device_of(i3d))).float().cpu().numpy())
    if not features:
        raise Unmeasurable(f"{n_frames} frames; FVD needs {WINDOW}")
    return np.concatenate(features)


def measured_features(video: VideoFacts) -> np.ndarray:
    return video.measured_by("i3d")


FVD = SetMetric(
    About(
        "fvd", "FVD", "", "lower", "i3d",
        f"Frechet distance (Unterthiner et al. 2018) of I3D's 400 logits (before softmax, Kinetics-400) of windows of "
        f"{WINDOW} frames at 25 fps, one every {WINDOW} frames; shorter side to {SIZE} pixels, middle cut out; "
        "covariances over N - 1",
        "Compares only between reports of the same window, layer and number of windows: the literature differs in all "
        "of them. Fewer than 400 windows have a singular covariance. The plain PyTorch copies of I3D differ in a "
        "constant of batch norm (here 0.001, as trained; VideoGPT's copy 0.00001), TorchScript carries its own.",
    ),
    measured_features,
    frechet_distance,
    least_clips=50,
)  # fmt: skip
