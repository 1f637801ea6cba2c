"""SyncNet's two towers (Chung and Zisserman 2016) with the names and shapes of `syncnet_v2.model`.

Shapes: B windows of five frames.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Final

from torch import Tensor, nn

from svp.weights.network import device_of, load_network, published_file

FEATURES: Final = 1024


class SyncNet(nn.Module):
    """Both towers; lip and sound features of one moment lie near each other."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_conv2d(1, 64, 3, 1),
            nn.MaxPool2d(1, 1),  # does nothing, but counts in the names
            *_conv2d(64, 192, 3, 1),
            nn.MaxPool2d(3, (1, 2)),
            *_conv2d(192, 384, 3, 1),
            *_conv2d(384, 256, 3, 1),
            *_conv2d(256, 256, 3, 1),
            nn.MaxPool2d(3, 2),
            *_conv2d(256, 512, (5, 4), 0),
        )
        self.netcnnlip = nn.Sequential(
            *_conv3d(3, 96, (5, 7, 7), stride=2, padding=0),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_conv3d(96, 256, (1, 5, 5), stride=2, padding=1),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_conv3d(256, 256, (1, 3, 3), stride=1, padding=1),
            *_conv3d(256, 256, (1, 3, 3), stride=1, padding=1),
            *_conv3d(256, 256, (1, 3, 3), stride=1, padding=1),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_conv3d(256, 512, (1, 6, 6), stride=1, padding=0),
        )
        self.netfcaud = _head()
        self.netfclip = _head()

    def lip(self, clips: Tensor) -> Tensor:
        """Features (B, 1024) of pictures (B, 3, 5, 224, 224), BGR in [0, 255]."""
        return self.netfclip(self.netcnnlip(clips.to(device_of(self))).flatten(1))

    def sound(self, coefficients: Tensor) -> Tensor:
        """Features (B, 1024) of MFCC (B, 1, 13, 20), see `evaluation.mfcc`."""
        return self.netfcaud(self.netcnnaud(coefficients.to(device_of(self))).flatten(1))


def load_syncnet(path: str | PathLike[str]) -> SyncNet:
    """SyncNet from `syncnet_v2.model`, or from what `svp import syncnet` wrote.

    Raises:
        InputError: the file is missing, unreadable or something else.
    """
    return load_network(SyncNet, published_file("syncnet", Path(path)))


def _conv2d(given: int, out: int, kernel: int | tuple[int, int], padding: int) -> list[nn.Module]:
    return [nn.Conv2d(given, out, kernel, padding=padding), nn.BatchNorm2d(out), nn.ReLU()]


def _conv3d(given: int, out: int, kernel: tuple[int, int, int], stride: int, padding: int) -> list[nn.Module]:
    """Stride and padding are those of height and width."""
    conv = nn.Conv3d(given, out, kernel, (1, stride, stride), (0, padding, padding))
    return [conv, nn.BatchNorm3d(out), nn.ReLU()]


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, FEATURES))
