"""StyleTalk's style encoder (Ma et al. 2023) with the names and shapes of `styletalk_checkpoint.pth`, for StyleSim.

Shapes: B clips, N frames, E = 64 BFM expression coefficients, D = 256.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from svp.weights.network import load_network, published_file

COEFFICIENTS: Final = 64
WIDTH: Final = 256
MAX_FRAMES: Final = 256  # length of the table of positions
HEADS: Final = 8  # not to be read off the weights
ABSENT: Final = -1e5  # added to the logit of a frame that is not there


class PositionTable(nn.Module):
    """A stored table, added once before the first layer."""

    pos_table: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pos_table", torch.zeros(1, MAX_FRAMES, WIDTH))

    def forward(self, frames_BND: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return frames_BND + self.pos_table[:, : frames_BND.shape[1]]


class AttentionPool(nn.Module):
    """Mean over the frames, weighted by what the frames say of themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Mish(), nn.Linear(WIDTH, 1))

    def forward(self, frames_BND: Tensor, present_BN: Tensor) -> Tensor:
        """(B, N, D) and (B, N) -> (B, D)."""
        logits_BN = self.W(frames_BND)[..., 0] + ABSENT * ~present_BN
        return (logits_BN.softmax(dim=1)[..., None] * frames_BND).sum(dim=1)


class StyleTalkEncoder(nn.Module):
    """Expressions of a clip -> a style code."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, 0.1, "relu", batch_first=True)
        self.increase_embed_dim = nn.Linear(COEFFICIENTS, WIDTH)
        self.pos_embed = PositionTable()
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.aggregate_method = AttentionPool()

    def forward(self, expression: Tensor, present: Tensor) -> Tensor:
        """Style codes (B, D).

        Args:
            expression: (B, N, E) float, at most 256 frames; the published demo takes the first 256 of a longer clip.
            present: (B, N) bool, True where a frame exists; the others are padding.

        Raises:
            ValueError: the shapes do not fit, or a clip has no frame.
        """
        if expression.ndim != 3 or expression.shape[2] != COEFFICIENTS or not 1 <= expression.shape[1] <= MAX_FRAMES:
            raise ValueError(f"expected expressions (B, 1 to {MAX_FRAMES}, {COEFFICIENTS}), got {expression.shape}")
        if present.shape != expression.shape[:2] or not present.any(dim=1).all():
            raise ValueError("every clip needs at least one frame that is present")
        frames_BND = self.pos_embed(self.increase_embed_dim(expression))
        frames_BND = self.encoder(frames_BND, src_key_padding_mask=~present)
        return self.aggregate_method(frames_BND, present)


def load_styletalk(path: str | PathLike[str]) -> StyleTalkEncoder:
    """StyleTalk's style encoder from the published checkpoint (its other networks are left out) or an imported folder.

    Raises:
        InputError: the file is missing, unreadable or something else.
    """
    others = r"(content_encoder|decoder)\."
    return load_network(
        StyleTalkEncoder, published_file("styletalk", Path(path)), prefix="style_encoder.", others=others
    )
