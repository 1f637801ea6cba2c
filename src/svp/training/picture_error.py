"""How far decoded latents are from the picture that was meant: what people look at, and what SSIM measures.

Shapes: B samples, C latent channels, F frames, h x w latent grid, H x W pixels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
WINDOW = 7


class PictureError(nn.Module):
    """L1 of the pictures and of differences of neighbours (`picture_loss`), and 1 - SSIM of their luma.

    Both sides are decoded, so that the decoder's own error is in neither.

    Args:
        decoder: a tiny decoder, or the VAE; it does not train.
        scaling_factor: the VAE's; latents are divided by it.
    """

    def __init__(self, decoder: Any, scaling_factor: float) -> None:
        super().__init__()
        self.decoder, self.scaling_factor = decoder.requires_grad_(False), scaling_factor

    def forward(self, clean: Tensor, latents: Tensor, weight: Tensor) -> Tensor:
        """Error, a scalar, of clean latents (B, C, F, h, w) against true ones; weight (B, F, h, w) is of the L1."""
        with torch.no_grad():
            wanted = self._pictures(latents)
        made = self._pictures(clean)
        height, width = made.shape[-2:]
        weight_B1HW = nn.functional.interpolate(weight.flatten(0, 1)[:, None].float(), (height, width))
        return picture_loss(made, wanted, weight_B1HW) + 1 - ssim(made, wanted)

    def _pictures(self, latents: Tensor) -> Tensor:
        """(B * F, 3, H, W), about in [-1, 1]."""
        frames = latents.transpose(1, 2).flatten(0, 1) / self.scaling_factor
        return self.decoder.decode(frames).sample.float()


def picture_loss(restored: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """L1 of pictures (B, 3, H, W) and of differences of neighbours, so that edges stay sharp; weight (B, 1, H, W)."""
    off = restored - wanted
    edges = [(off.diff(dim=axis).abs() * weight.narrow(axis, 0, off.shape[axis] - 1)).mean() for axis in (2, 3)]
    return (off.abs() * weight).mean() + sum(edges)


def ssim(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean SSIM (Wang et al. 2004) of the luma of pictures (B, 3, H, W) in [-1, 1], float32.

    In even windows of 7 x 7 pixels at every second place: on a CPU the backward pass of a Gaussian window took longer
    than that of `mini`.
    """
    luma = made.new_tensor(LUMA).view(1, 3, 1, 1)
    x, y = ((pictures * luma).sum(dim=1, keepdim=True) for pictures in (made, wanted))
    x_mean, y_mean, xx, yy, xy = (
        nn.functional.avg_pool2d(values, WINDOW, stride=2) for values in (x, y, x * x, y * y, x * y)
    )
    c1, c2 = (2 * 0.01) ** 2, (2 * 0.03) ** 2  # the paper's K1, K2 for a range of 2
    likeness = (2 * x_mean * y_mean + c1) * (2 * (xy - x_mean * y_mean) + c2)
    return (likeness / ((x_mean**2 + y_mean**2 + c1) * (xx - x_mean**2 + yy - y_mean**2 + c2))).mean()
