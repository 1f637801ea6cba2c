"""Group norm that survives frozen layers below it in the channels-last layout."""

import torch
from torch import Tensor, nn


class GroupNorm(nn.GroupNorm):
    """`nn.GroupNorm` around a fault of torch's CPU kernel (seen in 2.13).

    In the channels-last layout its backward writes the input's gradient even if nobody asked for it, through a null
    pointer: the process dies when the weights train and everything below is frozen, as happens in stage `motion`.
    """

    def forward(self, hidden: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        if torch.is_grad_enabled() and self.weight.requires_grad and not hidden.requires_grad:
            hidden = hidden.contiguous()
        return super().forward(hidden)
