"""Deep3DFaceRecon's regressor (Deng et al. 2019): a ResNet-50 with seven heads, under its published names.

A picture gives 257 coefficients: identity 80, expression 64, texture 80, angles 3, light 27, translation 3; see
`svp.face.deep3d` for the expression and `svp.face.deep3d_alignment` for the picture.

Shapes: B pictures.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svp.weights.network import load_network, published_file

SIZE: Final = 224  # pixels
HEADS: Final = (80, 64, 80, 3, 27, 2, 1)  # the translation comes from two of them
EXPANSION: Final = 4
# The other networks in SadTalker's file, by the names under which its own programs write and look for them.
SADTALKER: Final = r"(generator|kp_extractor|he_estimator|audio2exp|audio2pose)\."


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 (which has the stride), 1 x 1, and a shortcut."""

    def __init__(self, given: int, width: int, stride: int) -> None:
        super().__init__()
        out = EXPANSION * width
        self.conv1, self.bn1 = nn.Conv2d(given, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)
        self.downsample = None
        if given != out or stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(given, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 4 width, H / stride, W / stride)."""
        inner = F.relu(self.bn1(self.conv1(x)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        inner = self.bn3(self.conv3(inner))
        return F.relu(inner + (x if self.downsample is None else self.downsample(x)))


def _layer(given: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    """Blocks of which the first one shrinks the picture."""
    rest = (Bottleneck(EXPANSION * width, width, 1) for _ in range(blocks - 1))
    return nn.Sequential(Bottleneck(given, width, stride), *rest)


class ResNet50(nn.Module):
    """Without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.layer1 = _layer(64, 64, 3, stride=1)
        self.layer2 = _layer(256, 128, 4, stride=2)
        self.layer3 = _layer(512, 256, 6, stride=2)
        self.layer4 = _layer(1024, 512, 3, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 2048, 1, 1)."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return F.adaptive_avg_pool2d(x, 1)


class Deep3DRegressor(nn.Module):
    """A picture of a face -> its coefficients."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet50()
        self.final_layers = nn.ModuleList(nn.Conv2d(2048, size, 1) for size in HEADS)

    def forward(self, images: Tensor) -> Tensor:
        """Coefficients (B, 257) of aligned pictures (B, 3, 224, 224), RGB in [0, 1], not normalised any further."""
        features = self.backbone(images)
        return torch.cat([head(features) for head in self.final_layers], dim=1).flatten(1)


def load_deep3d(path: str | PathLike[str]) -> Deep3DRegressor:
    """The regressor from `epoch_20.pth`, from SadTalker's safetensors, or from an imported folder.

    Raises:
        InputError: the file is missing, unreadable or something else.
    """
    return load_network(Deep3DRegressor, published_file("deep3d", Path(path)), prefix="face_3drecon.", others=SADTALKER)
