"""I3D (Carreira and Zisserman 2017), trained on Kinetics-400: the features of FVD are its logits.

Shapes: B clips of T frames.
"""

from __future__ import annotations

from functools import partial
from os import PathLike
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svp.weights.network import is_torchscript, load_network, published_file
from svp.weights.scripted import ScriptedFeatures, check_script

CLASSES: Final = 400
LEAST_FRAMES: Final = 9  # of which the last average still has two
# Batch norm of the network that the weights were trained in; VideoGPT's copy of it computes with 1e-5, which moves
# the logits a little.
BATCH_NORM_EPS: Final = 1e-3
# What the widths of a mixed block mean: 1x1; 1x1 and 3x3x3; 1x1 and 3x3x3; pool and 1x1.
MIXED: Final = {
    "Mixed_3b": (192, (64, 96, 128, 16, 32, 32)),
    "Mixed_3c": (256, (128, 128, 192, 32, 96, 64)),
    "Mixed_4b": (480, (192, 96, 208, 16, 48, 64)),
    "Mixed_4c": (512, (160, 112, 224, 24, 64, 64)),
    "Mixed_4d": (512, (128, 128, 256, 24, 64, 64)),
    "Mixed_4e": (512, (112, 144, 288, 32, 64, 64)),
    "Mixed_4f": (528, (256, 160, 320, 32, 128, 128)),
    "Mixed_5b": (832, (256, 160, 320, 32, 128, 128)),
    "Mixed_5c": (832, (384, 192, 384, 48, 128, 128)),
}
POOLS: Final = {"Mixed_4b": ((3, 3, 3), (2, 2, 2)), "Mixed_5b": ((2, 2, 2), (2, 2, 2))}  # what comes before a block

Size = tuple[int, int, int]


def padded(x: Tensor, kernel: Size, stride: Size) -> Tensor:
    """TensorFlow's padding "same" with zeros, the odd one behind; (B, C, T, H, W)."""
    amounts: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max(k - (size % s or s), 0)
        amounts += [total // 2, total - total // 2]
    return F.pad(x, amounts)


def max_pool(x: Tensor, kernel: Size, stride: Size) -> Tensor:
    """Maxima; the padding's zeros count, as in the original."""
    return F.max_pool3d(padded(x, kernel, stride), kernel, stride)


class Unit(nn.Module):
    """Convolution with "same" padding, batch norm and ReLU; or the plain last convolution."""

    def __init__(self, given: int, out: int, kernel: int, stride: int = 1, *, eps: float, plain: bool = False) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(given, out, kernel, stride, bias=plain)
        self.bn = None if plain else nn.BatchNorm3d(out, eps=eps)
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, out, T / stride, H / stride, W / stride)."""
        x = self.conv3d(padded(x, self.kernel, self.stride))
        return x if self.bn is None else F.relu(self.bn(x))


class Mixed(nn.Module):
    """Four branches side by side."""

    def __init__(self, given: int, widths: tuple[int, ...], eps: float) -> None:
        super().__init__()
        unit = partial(Unit, eps=eps)
        self.b0 = unit(given, widths[0], 1)
        self.b1a, self.b1b = unit(given, widths[1], 1), unit(widths[1], widths[2], 3)
        self.b2a, self.b2b = unit(given, widths[3], 1), unit(widths[3], widths[4], 3)
        self.b3b = unit(given, widths[5], 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, sum of the branches, T, H, W)."""
        pooled = max_pool(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], dim=1)


class I3D(nn.Module):
    """The plain PyTorch layout, as in piergiaj/pytorch-i3d and VideoGPT."""

    def __init__(self, batch_norm_eps: float = BATCH_NORM_EPS) -> None:
        super().__init__()
        unit = partial(Unit, eps=batch_norm_eps)
        self.Conv3d_1a_7x7 = unit(3, 64, 7, 2)
        self.Conv3d_2b_1x1 = unit(64, 64, 1)
        self.Conv3d_2c_3x3 = unit(64, 192, 3)
        for name, (given, widths) in MIXED.items():
            self.add_module(name, Mixed(given, widths, batch_norm_eps))
        self.logits = unit(1024, CLASSES, 1, plain=True)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits (B, 400), mean over time, of RGB clips (B, 3, T, 224, 224) in [-1, 1].

        Raises:
            ValueError: the clips are too short or of another size.
        """
        if clips.ndim != 5 or clips.shape[1] != 3 or clips.shape[2] < LEAST_FRAMES or clips.shape[3:] != (224, 224):
            raise ValueError(f"expected clips (B, 3, at least {LEAST_FRAMES}, 224, 224), got {tuple(clips.shape)}")
        x = max_pool(self.Conv3d_1a_7x7(clips), (1, 3, 3), (1, 2, 2))
        x = max_pool(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))
        for name in MIXED:
            if name in POOLS:
                x = max_pool(x, *POOLS[name])
            x = self.get_submodule(name)(x)
        x = self.logits(F.avg_pool3d(x, (2, 7, 7), 1))  # (B, 400, T', 1, 1)
        return x.mean(dim=(2, 3, 4))


def load_i3d(
    path: str | PathLike[str], batch_norm_eps: float = BATCH_NORM_EPS, trust_script: bool = False
) -> I3D | ScriptedFeatures:
    """I3D from `i3d_torchscript.pt`, from a plain PyTorch file, or from an imported folder.

    Args:
        batch_norm_eps: of the plain layout, where the file does not say it.
        trust_script: run TorchScript even if its hash is not the published file's, see `check_script`.

    Returns:
        RGB clips (B, 3, T, 224, 224) in [-1, 1] -> logits (B, 400).

    Raises:
        InputError: the file is missing, unreadable, unknown or something else.
    """
    file = published_file("i3d", Path(path))
    if is_torchscript(file):
        check_script("i3d", Path(path), trust_script)
        return ScriptedFeatures(file, CLASSES, {"rescale": False, "resize": False, "return_features": True})
    return load_network(partial(I3D, batch_norm_eps), file)
