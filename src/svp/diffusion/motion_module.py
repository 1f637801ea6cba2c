"""Motion module of AnimateDiff: attention over the frames at each place, so that neighbouring frames agree.

Parameter names are those of the published AnimateDiff and V-Express checkpoints. Their sinusoid tables `pos_encoder.pe`
are computed here instead of stored; a checkpoint may carry them, and they are compared with ours on loading.

Shapes: B videos, F frames, C channels, h x w latent grid.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from svp.diffusion.attention import Attention, zero
from svp.diffusion.feed_forward import FeedForward
from svp.diffusion.group_norm import GroupNorm

GROUP_NORM_EPS = 1e-6
TABLE_TOLERANCE = 1e-4  # the published tables were computed in float32


@lru_cache(maxsize=16)
def sinusoid_table(channels: int, frames: int) -> Tensor:
    """AnimateDiff's table of frame positions, (1, frames, channels) on the CPU; sines at even channels."""
    with torch.device("cpu"):
        pairs_C = torch.arange(channels, dtype=torch.float64) // 2
        angles_FC = torch.arange(frames, dtype=torch.float64)[:, None] / 10000 ** (2 * pairs_C / channels)
        even_C = torch.arange(channels) % 2 == 0
        return torch.where(even_C, angles_FC.sin(), angles_FC.cos())[None].float()


class FramePositions(nn.Module):
    """Sinusoids of the frame number, added to the normed input of each temporal attention.

    Args:
        channels: C.
        max_frames: longest window.
    """

    pe: Tensor

    def __init__(self, *, channels: int, max_frames: int) -> None:
        super().__init__()
        table_1FC = sinusoid_table(channels, max_frames).to(torch.get_default_device(), copy=True)
        self.register_buffer("pe", table_1FC, persistent=False)

    def forward(self, hidden_NFC: Tensor) -> Tensor:
        """(N, F, C) to (N, F, C)."""
        return hidden_NFC + self.pe[:, : hidden_NFC.shape[1]].to(hidden_NFC.dtype)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        stored = state_dict.pop(prefix + "pe", None)  # not a parameter: known by formula
        if stored is not None and not self.pe.is_meta:
            frames = min(stored.shape[1], self.pe.shape[1])
            difference = (stored[:, :frames].to(self.pe) - self.pe[:, :frames]).abs().max()
            if difference > TABLE_TOLERANCE:
                raise ValueError(f"{prefix}pe: not AnimateDiff's sinusoid table (off by {float(difference):.3g})")
        super()._load_from_state_dict(state_dict, prefix, *args)


class TemporalAttention(Attention):
    """Self-attention over frames with frame positions.

    Args:
        channels: C.
        heads: number of heads.
        max_frames: longest window.
    """

    def __init__(self, *, channels: int, heads: int, max_frames: int) -> None:
        super().__init__(query_dim=channels, context_dim=channels, heads=heads, out_bias=True)
        self.pos_encoder = FramePositions(channels=channels, max_frames=max_frames)

    def forward(self, hidden_NFC: Tensor) -> Tensor:
        """Normed hidden states (N, F, C) to (N, F, C), not yet added to the residual."""
        return super().forward(self.pos_encoder(hidden_NFC))


class TemporalBlock(nn.Module):
    """Two temporal self-attentions and a feed-forward layer, each pre-norm with a residual.

    Args:
        channels: C.
        heads: number of heads.
        max_frames: longest window.
    """

    def __init__(self, *, channels: int, heads: int, max_frames: int) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList(
            TemporalAttention(channels=channels, heads=heads, max_frames=max_frames) for _ in range(2)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.ff = FeedForward(channels)
        self.ff_norm = nn.LayerNorm(channels)

    def forward(self, hidden_NFC: Tensor) -> Tensor:
        """(N, F, C) to (N, F, C)."""
        for attention, norm in zip(self.attention_blocks, self.norms, strict=True):
            hidden_NFC = hidden_NFC + attention(norm(hidden_NFC))
        return hidden_NFC + self.ff(self.ff_norm(hidden_NFC))


class TemporalTransformer(nn.Module):
    """Group norm, projection, temporal block, projection, residual.

    Args:
        channels: C.
        heads: number of heads.
        max_frames: longest window.
        norm_groups: groups of the group norm.
        norm_across_frames: group statistics over all frames of the window (diffusers' AnimateDiff) instead of per frame
            (AnimateDiff as published, V-Express).
    """

    def __init__(
        self, *, channels: int, heads: int, max_frames: int, norm_groups: int, norm_across_frames: bool
    ) -> None:
        super().__init__()
        self.max_frames = max_frames
        self.norm_across_frames = norm_across_frames
        self.norm = GroupNorm(norm_groups, channels, eps=GROUP_NORM_EPS)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(channels=channels, heads=heads, max_frames=max_frames)])
        self.proj_out = nn.Linear(channels, channels)
        zero(self.proj_out)  # a fresh motion module changes nothing

    def forward(self, hidden: Tensor, frames: int) -> Tensor:
        """Hidden states (B * F, C, h, w) to the same shape.

        Raises:
            ValueError: if the window is longer than the position table.
        """
        if frames > self.max_frames:
            raise ValueError(
                f"window of {frames} frames is longer than the motion modules' {self.max_frames} positions; "
                "use shorter windows"
            )
        count, channels, height, width = hidden.shape
        if self.norm_across_frames:
            video = hidden.unflatten(0, (-1, frames)).transpose(1, 2)  # (B, C, F, h, w)
            normed = self.norm(video).transpose(1, 2).flatten(0, 1)
        else:
            normed = self.norm(hidden)
        # (B * F, C, h, w) -> (B * h * w, F, C)
        tokens = normed.unflatten(0, (-1, frames)).permute(0, 3, 4, 1, 2).reshape(-1, frames, channels)
        tokens = self.proj_in(tokens)
        for block in self.transformer_blocks:
            tokens = block(tokens)
        tokens = self.proj_out(tokens)
        out = tokens.view(-1, height, width, frames, channels).permute(0, 3, 4, 1, 2)  # (B, F, C, h, w)
        return hidden + out.reshape(count, channels, height, width)


class MotionModule(nn.Module):
    """AnimateDiff's wrapper: its checkpoints name everything `temporal_transformer.*`. Arguments as there."""

    def __init__(
        self, *, channels: int, heads: int, max_frames: int, norm_groups: int, norm_across_frames: bool
    ) -> None:
        super().__init__()
        self.temporal_transformer = TemporalTransformer(
            channels=channels,
            heads=heads,
            max_frames=max_frames,
            norm_groups=norm_groups,
            norm_across_frames=norm_across_frames,
        )

    def forward(self, hidden: Tensor, frames: int) -> Tensor:
        """Hidden states (B * F, C, h, w) to the same shape."""
        return self.temporal_transformer(hidden, frames)
