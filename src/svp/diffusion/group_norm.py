"""Group norm in the channels-last layout, around a fault and a slow path of torch's CPU kernels."""

import torch
from torch import Tensor, nn

from svp.diffusion.place import on_cpu


class GroupNorm(nn.GroupNorm):
    """`nn.GroupNorm`; the values are the same.

    In the channels-last layout of torch 2.13 its backward writes the input's gradient even if nobody asked for it,
    through a null pointer: the process dies when the weights train and everything below is frozen, as happens in stage
    `motion`. And bfloat16 takes 1.9 ms there where the plain layout takes 0.3, the way there and back included (8 x 80
    x 16 x 16, one thread).
    """

    def forward(self, hidden: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        if torch.is_grad_enabled():
            if self.weight.requires_grad and not hidden.requires_grad:
                hidden = hidden.contiguous()
        elif hidden.dtype == torch.bfloat16 and on_cpu(hidden) and hidden.dim() == 4 and not hidden.is_contiguous():
            return super().forward(hidden.contiguous()).contiguous(memory_format=torch.channels_last)
        return super().forward(hidden)
