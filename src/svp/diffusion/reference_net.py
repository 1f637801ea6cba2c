"""ReferenceNet: SD1.5's UNet run once on the portrait, to give every attention block tokens of the same place in it.

Shapes: B pictures, C channels, h x w grid of a level, T = h * w tokens, E channels of the time embedding.
"""

from dataclasses import dataclass, field
from functools import partial

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn

from svp.diffusion.attention import Attention, cross_attend
from svp.diffusion.blocks import TIME_CHANNELS_FACTOR, TransformerBlock, build_levels, name_blocks
from svp.diffusion.feed_forward import FeedForward
from svp.strict_model import StrictModel


@dataclass(frozen=True)
class ReferenceState:
    """Collects the tokens while the pictures pass through the levels."""

    tokens: dict[str, Tensor] = field(default_factory=dict)
    frames: int = 1
    motion: bool = False


class ReferenceBlock(TransformerBlock):
    """SD1.5's transformer block; its tokens are taken where V-Express takes them: `norm2` after self-attention.

    Args:
        channels: channels of the hidden states.
        heads: number of heads.
        text_dim: channels of SD's text tokens; only one zero token is ever given.
    """

    def __init__(self, channels: int, heads: int, *, text_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(query_dim=channels, context_dim=channels, heads=heads, out_bias=True)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = Attention(query_dim=channels, context_dim=text_dim, heads=heads, out_bias=True)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(self, hidden_NTC: Tensor, size: tuple[int, int], state: ReferenceState) -> Tensor:  # type: ignore[override]
        """(B, T, C) to (B, T, C); stores the tokens (B, h, w, C) under the block's path."""
        hidden_NTC = hidden_NTC + self.attn1(self.norm1(hidden_NTC))
        # gradient checkpointing runs this twice; the tokens in use are those of the first time
        state.tokens.setdefault(self.path, self.norm2(hidden_NTC).unflatten(1, size))
        hidden_NTC = cross_attend(hidden_NTC, self.norm2, self.attn2, key_value=None, scale=1.0)
        return hidden_NTC + self.ff(self.norm3(hidden_NTC))


class ReferenceNet(StrictModel):
    """SD1.5's UNet without `conv_norm_out`, temporal and style layers; up levels without any use are not built.

    `conv_out` is kept because published weights have it; nothing runs it. The arguments are those of the denoising
    UNet, whose block paths and widths must be the same.

    Args:
        in_channels: latent channels.
        out_channels: channels of `conv_out`.
        block_out_channels: channels per level, shallow to deep.
        attention_levels: which levels have spatial transformers.
        layers_per_block: layers per down level.
        attention_heads: heads per level.
        norm_num_groups: groups of all group norms.
        cross_attention_dim: channels of SD's text tokens.
    """

    _supports_gradient_checkpointing = True

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
        cross_attention_dim: int,
    ) -> None:
        super().__init__()
        width = block_out_channels[0]
        levels = len(block_out_channels)
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
            # above the shallowest attention no token is taken any more
            up_levels=levels - list(attention_levels).index(True) if any(attention_levels) else 0,
            make_block=partial(ReferenceBlock, text_dim=cross_attention_dim),
            make_motion=None,
            motion_levels=(False,) * levels,
            motion_mid=False,
        )
        self.conv_out = nn.Conv2d(width, out_channels, kernel_size=3, padding=1)
        name_blocks(self)

    def forward(self, latents: Tensor) -> dict[str, Tensor]:
        """Tokens of the portrait for every attention block, at diffusion step 0 and without text.

        Args:
            latents: clean latents of the portrait (B, C, h, w).

        Returns:
            Tokens (B, h, w, C) per block path.
        """
        state = ReferenceState()
        step_zero_B = torch.zeros(latents.shape[0], device=latents.device)
        time_BE = self.time_embedding(self.time_proj(step_zero_B).to(latents.dtype))
        hidden = self.conv_in(latents)
        skips = [hidden]
        for level in self.down_blocks:
            hidden, level_skips = level(hidden, time_BE, state)
            skips += level_skips
        hidden = self.mid_block(hidden, time_BE, state)
        for level in self.up_blocks:
            hidden = level(hidden, time_BE, skips, state)
        return state.tokens
