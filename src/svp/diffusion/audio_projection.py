"""Audio projection: a window of alpha around a frame becomes a few audio tokens (a Perceiver resampler, as V-Express).

Shapes: N = videos x frames, W positions of the window, A channels of alpha, C channels inside, Q tokens out, H heads.
"""

import math
from typing import cast

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from svp.strict_model import StrictModel


class ResamplerAttention(nn.Module):
    """Learned queries attend to the window and to themselves.

    Args:
        channels: C.
        heads: H.
        head_dim: channels per head; H * head_dim need not be C.
    """

    def __init__(self, *, channels: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.to_q = nn.Linear(channels, heads * head_dim, bias=False)
        self.to_kv = nn.Linear(channels, 2 * heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, channels, bias=False)

    def forward(self, window_NWC: Tensor, queries_NQC: Tensor) -> Tensor:
        """(N, W, C), (N, Q, C) to (N, Q, C), not yet added to the residual."""
        window_NWC, queries_NQC = self.norm1(window_NWC), self.norm2(queries_NQC)
        query = self.to_q(queries_NQC)
        key, value = self.to_kv(torch.cat([window_NWC, queries_NQC], dim=1)).chunk(2, dim=-1)
        query, key, value = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (query, key, value))
        out = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.to_out(out.transpose(1, 2).flatten(2))


class AudioProjection(StrictModel):
    """alpha windows to audio tokens.

    Args:
        alpha_dim: A, channels of one position.
        window: W, positions per frame.
        dim: C.
        depth: number of attention and feed-forward layers.
        heads, head_dim: of the attention.
        tokens: Q, audio tokens per frame.
        token_dim: channels of an audio token.
        ff_mult: width of the feed-forward layers, in C.
        standardize: whether alpha is standardised by `feature_mean` and `feature_std`, buffers that training sets from
            its data. Whisper's states differ in scale by channel; training from scratch suffers from that, published
            weights expect the raw numbers. A window that is all zeros, absent sound, stays zeros.
    """

    feature_mean: Tensor
    feature_std: Tensor

    @register_to_config
    def __init__(
        self,
        *,
        alpha_dim: int,
        window: int,
        dim: int,
        depth: int,
        heads: int,
        head_dim: int,
        tokens: int,
        token_dim: int,
        ff_mult: int,
        standardize: bool,
    ) -> None:
        super().__init__()
        self.standardize = standardize
        if standardize:
            self.register_buffer("feature_mean", torch.zeros(alpha_dim))
            self.register_buffer("feature_std", torch.ones(alpha_dim))
        self.pos_emb = nn.Embedding(window, alpha_dim)
        self.latents = nn.Parameter(torch.randn(1, tokens, dim) / dim**0.5)
        self.proj_in = nn.Linear(alpha_dim, dim)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    ResamplerAttention(channels=dim, heads=heads, head_dim=head_dim),
                    nn.Sequential(
                        nn.LayerNorm(dim),
                        nn.Linear(dim, ff_mult * dim, bias=False),
                        nn.GELU(),
                        nn.Linear(ff_mult * dim, dim, bias=False),
                    ),
                ]
            )
            for _ in range(depth)
        )
        self.proj_out = nn.Linear(dim, token_dim)
        self.norm_out = nn.LayerNorm(token_dim)

    def forward(self, windows_BFWA: Tensor) -> Tensor:
        """Windows (B, F, W, A) to tokens (B, F, Q, token_dim).

        Frames whose alpha holds several positions side by side are taken apart: (B, F, W / 2, 2 A) is the same thing.

        Raises:
            ValueError: if the windows have another length or width than configured.
        """
        wanted = self.pos_emb.weight.shape
        given = windows_BFWA.shape
        if len(given) == 4 and math.prod(given[2:]) == math.prod(wanted) and given[3] % wanted[1] == 0:
            windows_BFWA = windows_BFWA.reshape(*given[:2], *wanted)
        else:
            raise ValueError(
                f"audio windows are {tuple(given)}; this model takes (videos, frames, {wanted[0]}, {wanted[1]})"
            )
        if self.standardize:
            heard_BF11 = (windows_BFWA != 0).any(dim=(-2, -1), keepdim=True)  # absent sound stays zeros
            windows_BFWA = torch.where(heard_BF11, (windows_BFWA - self.feature_mean) / self.feature_std, 0.0)
        window_NWC = self.proj_in((windows_BFWA + self.pos_emb.weight).flatten(0, 1))
        tokens_NQC = self.latents.expand(window_NWC.shape[0], -1, -1)
        for layer in self.layers:
            attention, feed_forward = cast(nn.ModuleList, layer)
            tokens_NQC = tokens_NQC + attention(window_NWC, tokens_NQC)
            tokens_NQC = tokens_NQC + feed_forward(tokens_NQC)
        tokens = self.norm_out(self.proj_out(tokens_NQC))
        return tokens.unflatten(0, windows_BFWA.shape[:2])
