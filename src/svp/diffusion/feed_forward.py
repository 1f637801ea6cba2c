"""The feed-forward layer of the transformers, in pieces where that is quicker."""

import diffusers.models.attention
import torch
from torch import Tensor

from svp.diffusion.place import on_cpu

ROWS = 512  # tokens of a piece
FRESH_BYTES = 32 << 20  # glibc takes larger blocks from the system anew at every call, page by page


class FeedForward(diffusers.models.attention.FeedForward):
    """diffusers' layer with GEGLU; the values are the same but for rounding.

    What it holds in between is eight times as wide as its input. Where that is more than 32 MB, as for 8192 tokens of
    320 channels, a CPU computes it in pieces: they stay in the cache, and peak memory is lower.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, activation_fn="geglu")

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., C) to (..., C)."""
        between = 8 * hidden.numel() * hidden.element_size()
        if not on_cpu(hidden) or torch.is_grad_enabled() or between <= FRESH_BYTES:
            return super().forward(hidden)
        tokens = hidden.flatten(0, -2)
        return torch.cat([super(FeedForward, self).forward(piece) for piece in tokens.split(ROWS)]).view(hidden.shape)
