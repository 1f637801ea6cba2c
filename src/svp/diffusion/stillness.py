"""What hardly changes from one frame to the next is held still: a recursive noise filter in time on finished latents.

A model sees a window of frames, and what it makes of a wall differs a little from frame to frame. Such changes are
much smaller than those of a face that moves, so they can be told apart, as video denoisers do.

Shapes: C latent channels, N frames, h x w latent grid.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

HELD = 0.7  # of a change that is nothing but noise


def hold_still(latents: Tensor, known: int, stillness: float) -> Tensor:
    """Take back part of each frame's change from the one before, the more the smaller it is.

    Args:
        latents: (1, C, N, h, w).
        known: the first frames, which stay as they are.
        stillness: change (root mean square over the channels of 3 x 3 places) of which still HELD / e is taken back;
            0 changes nothing.

    Returns:
        (1, C, N, h, w).
    """
    if stillness == 0:
        return latents
    frames = list(latents.unbind(2))
    for number in range(max(known, 1), len(frames)):
        change = frames[number] - frames[number - 1]
        size = F.avg_pool2d(change.square().mean(1, keepdim=True), 3, stride=1, padding=1, count_include_pad=False)
        frames[number] = frames[number] - HELD * torch.exp(-size / stillness**2) * change
    return torch.stack(frames, dim=2)
