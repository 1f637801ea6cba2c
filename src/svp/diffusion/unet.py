"""Denoising UNet: SD1.5's layers and names with reference, audio and style attention and motion modules (paper Eq. 5).

Shapes: B videos, F frames, N = B * F pictures, C latent channels, h x w latent grid, T tokens of a level's grid,
S context tokens, C0 channels of the first level.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn

from svp.diffusion.attention import Attention, KeyValue, ReferenceAttention, cross_attend, zero
from svp.diffusion.blocks import (
    RESNET_EPS,
    TIME_CHANNELS_FACTOR,
    TransformerBlock,
    build_levels,
    name_blocks,
)
from svp.diffusion.conditions import Conditions
from svp.diffusion.feed_forward import FeedForward
from svp.diffusion.group_norm import GroupNorm
from svp.diffusion.motion_module import MotionModule
from svp.strict_model import StrictModel

VARIANTS = 4  # of one block: with and without each kind of condition


@dataclass(frozen=True)
class DenoisingState:
    """What travels through the levels beside the hidden states."""

    conditions: Conditions
    frames: int
    motion: bool


class DenoisingBlock(TransformerBlock):
    """self -> reference -> audio -> style -> feed-forward, each pre-norm with a residual.

    `norm1_5`/`attn1_5` (reference) and `norm2`/`attn2` (audio, SD's text attention) are V-Express's names; `norm_style`
    and `attn_style` are ours. Scales multiply the attention output before the residual.

    Args:
        channels: channels of the hidden states.
        heads: number of heads.
        audio_token_dim: channels of the audio tokens.
        style_token_dim: channels of the style tokens.
        reference_position: whether the reference attention has the position term.
    """

    def __init__(
        self, channels: int, heads: int, *, audio_token_dim: int, style_token_dim: int, reference_position: bool
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(query_dim=channels, context_dim=channels, heads=heads, out_bias=True)
        self.norm1_5 = nn.LayerNorm(channels)
        self.attn1_5 = ReferenceAttention(channels=channels, heads=heads, position_term=reference_position)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = Attention(query_dim=channels, context_dim=audio_token_dim, heads=heads, out_bias=True)
        # No output bias: without a style the layer adds nothing. Zero weight: nor does it before
        # stage `style`.
        self.norm_style = nn.LayerNorm(channels)
        self.attn_style = Attention(query_dim=channels, context_dim=style_token_dim, heads=heads, out_bias=False)
        zero(self.attn_style.to_out[0])
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(self, hidden_NTC: Tensor, size: tuple[int, int], state: DenoisingState) -> Tensor:  # type: ignore[override]
        """(N, T, C) to (N, T, C); `size` is the grid (height, width) with T places."""
        given = state.conditions
        hidden_NTC = hidden_NTC + self.attn1(self.norm1(hidden_NTC))
        hidden_NTC = cross_attend(
            hidden_NTC, self.norm1_5, self.attn1_5, self._of(given.reference), given.reference_scale, size
        )
        hidden_NTC = cross_attend(hidden_NTC, self.norm2, self.attn2, self._of(given.audio), given.audio_scale)
        hidden_NTC = cross_attend(
            hidden_NTC, self.norm_style, self.attn_style, self._of(given.style), given.style_scale
        )
        return hidden_NTC + self.ff(self.norm3(hidden_NTC))

    def _of(self, blocks: Mapping[str, KeyValue] | None) -> KeyValue | None:
        return None if blocks is None else blocks[self.path]


class DenoisingUNet(StrictModel):
    """Predicts the noise (or v) of a window of latent frames.

    Args:
        in_channels: latent channels.
        out_channels: predicted channels.
        block_out_channels: channels per level, shallow to deep.
        attention_levels: which levels have spatial transformers; the middle always has one.
        layers_per_block: layers per down level; up levels have one more.
        attention_heads: heads per level (SD1.5: 8 everywhere; its config calls this number `attention_head_dim`).
        norm_num_groups: groups of all group norms.
        audio_token_dim: channels of the audio tokens (SD1.5's `cross_attention_dim`).
        style_token_dim: channels of the style tokens.
        reference_position: whether the reference attention has the position term.
        motion_levels: which levels have motion modules.
        motion_mid: whether the middle has one.
        motion_heads: heads of the motion modules.
        motion_max_frames: longest window.
        motion_norm_across_frames: group norm of the motion modules over all frames of the window (diffusers) instead of
            per frame (AnimateDiff as published, V-Express).
    """

    _supports_gradient_checkpointing = True
    # what `compile_repeated_blocks` compiles, one at a time
    _repeated_blocks = ("ResnetBlock2D", "SpatialTransformer", "MotionModule")  # type: ignore[assignment]
    # sinusoids: computed, not stored
    _keys_to_ignore_on_load_unexpected = (r"pos_encoder\.pe$",)  # type: ignore[assignment]

    @register_to_config
    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        block_out_channels: tuple[int, ...],
        attention_levels: tuple[bool, ...],
        layers_per_block: int,
        attention_heads: tuple[int, ...],
        norm_num_groups: int,
        audio_token_dim: int,
        style_token_dim: int,
        reference_position: bool,
        motion_levels: tuple[bool, ...],
        motion_mid: bool,
        motion_heads: int,
        motion_max_frames: int,
        motion_norm_across_frames: bool,
    ) -> None:
        super().__init__()
        width = block_out_channels[0]
        self.conv_in = nn.Conv2d(in_channels, width, kernel_size=3, padding=1)
        self.time_proj = Timesteps(width, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(width, TIME_CHANNELS_FACTOR * width)
        build_levels(
            self,
            block_out_channels=tuple(block_out_channels),
            attention_levels=tuple(attention_levels),
            layers_per_block=layers_per_block,
            attention_heads=tuple(attention_heads),
            norm_num_groups=norm_num_groups,
            up_levels=len(block_out_channels),
            make_block=partial(
                DenoisingBlock,
                audio_token_dim=audio_token_dim,
                style_token_dim=style_token_dim,
                reference_position=reference_position,
            ),
            make_motion=lambda channels: MotionModule(
                channels=channels,
                heads=motion_heads,
                max_frames=motion_max_frames,
                norm_groups=norm_num_groups,
                norm_across_frames=motion_norm_across_frames,
            ),
            motion_levels=tuple(motion_levels),
            motion_mid=motion_mid,
        )
        self.conv_norm_out = GroupNorm(norm_num_groups, width, eps=RESNET_EPS)
        self.conv_out = nn.Conv2d(width, out_channels, kernel_size=3, padding=1)
        self.blocks = cast(dict[str, DenoisingBlock], name_blocks(self))
        self.start_reference_from_self()

    def compile_repeated_blocks(self, *args: Any, **kwargs: Any) -> None:
        """As in diffusers; all blocks are compiled, where torch by itself gives up after eight different sizes."""
        blocks = sum(type(module).__name__ in self._repeated_blocks for module in self.modules())
        limits = torch._dynamo.config
        limits.recompile_limit = max(limits.recompile_limit, VARIANTS * blocks)
        limits.accumulated_recompile_limit = max(limits.accumulated_recompile_limit, limits.recompile_limit)
        super().compile_repeated_blocks(*args, **kwargs)

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor | float,
        conditions: Conditions,
        motion: bool = True,
        deep: dict[tuple[int, ...], Tensor] | None = None,
    ) -> Tensor:
        """Predict the noise (or v) of every frame.

        Args:
            latents: noisy latents (B, C, F, h, w).
            timestep: diffusion step, one number, () or (B,).
            conditions: projected conditions of the same B videos and F frames.
            motion: False leaves the motion modules out (stage `appearance`).
            deep: what the levels below the first gave (N, C1, h, w), by kinds of conditions and B. What is there is
                used as it is, an approximation; what is missing is computed, exactly, and kept there.

        Returns:
            (B, C, F, h, w).

        Raises:
            ValueError: if the conditions are those of another number of videos or frames.
        """
        batch, _, frames = latents.shape[:3]
        for name, given, wanted in (
            ("videos", conditions.batch_size, batch),
            ("frames", conditions.num_frames, frames),
        ):
            if given not in (None, wanted):
                raise ValueError(f"latents of {wanted} {name} with conditions of {given} {name}")
        state = DenoisingState(conditions=conditions, frames=frames, motion=motion)

        timesteps_B = torch.as_tensor(timestep, device=latents.device).expand(batch)
        time_NE = self.time_embedding(self.time_proj(timesteps_B).to(latents.dtype)).repeat_interleave(frames, dim=0)

        hidden = self.conv_in(latents.transpose(1, 2).flatten(0, 1))  # (N, C0, h, w)
        if conditions.head_kps is not None:
            hidden = hidden + conditions.head_kps.transpose(1, 2).flatten(0, 1)
        skips = [hidden]
        key = (*conditions.kinds, batch)
        kept = None if deep is None else deep.get(key)
        if kept is None:
            for level in self.down_blocks:
                hidden, level_skips = level(hidden, time_NE, state)
                skips += level_skips
            hidden = self.mid_block(hidden, time_NE, state)
            for level in self.up_blocks[:-1]:
                hidden = level(hidden, time_NE, skips, state)
            if deep is not None:
                deep[key] = hidden
        else:
            _, level_skips = self.down_blocks[0](hidden, time_NE, state)
            skips += level_skips[: len(self.down_blocks[0].resnets)]  # not the downsampler's
            hidden = kept
        hidden = self.up_blocks[-1](hidden, time_NE, skips, state)
        out = self.conv_out(nn.functional.silu(self.conv_norm_out(hidden)))
        return out.unflatten(0, (batch, frames)).transpose(1, 2)

    @apply_forward_hook
    def project_reference(self, tokens: Mapping[str, Tensor]) -> dict[str, KeyValue]:
        """ReferenceNet's tokens by block path, each (B, h, w, C), to keys and values (B, H, S, d)."""
        return {path: block.attn1_5.project_grid(tokens[path]) for path, block in self.blocks.items()}

    @apply_forward_hook
    def project_audio(self, tokens_BFSC: Tensor) -> dict[str, KeyValue]:
        """Audio tokens (B, F, S, audio_token_dim) to keys and values (B, F, H, S, d) per block path."""
        return {path: block.attn2.project(tokens_BFSC) for path, block in self.blocks.items()}

    @apply_forward_hook
    def project_style(self, tokens: Tensor) -> dict[str, KeyValue]:
        """Style tokens (B, S, token_dim) or (B, F, S, token_dim) to keys and values (B[, F], H, S, d) per path."""
        return {path: block.attn_style.project(tokens) for path, block in self.blocks.items()}

    @torch.no_grad()
    def start_reference_from_self(self) -> None:
        """Start every reference attention as a copy of its self-attention: it knows how to find a place.

        Call it again after loading SD1.5's weights, which have no reference attention.
        """
        for block in self.blocks.values():
            block.norm1_5.load_state_dict(block.norm1.state_dict())
            block.attn1_5.load_state_dict(block.attn1.state_dict(), strict=False)  # the position term stays
