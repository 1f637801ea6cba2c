"""Convolution on small grids, around a slow path of torch's CPU kernels."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svp.diffusion.place import on_cpu


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` of one group, undilated, padded with zeros; the values are the same but for rounding.

    torch's convolution on a CPU brings the weights into an order of its own at every call. Where a layer has more
    output channels than its grid has places, as in the deep levels of SD1.5's UNet, that takes as long as the
    convolution or longer. In float32 one matrix product of patches with the weights as they lie takes a half to a
    quarter of the time there (1280 channels, 8 pictures of 8 x 8 and of 4 x 4); in bfloat16 it is not quicker.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, h, w) to (N, C', h', w')."""
        (rows, columns), (down, across) = self.kernel_size, self.stride
        above, beside = (int(side) for side in self.padding)
        pictures, _, height, width = input.shape
        places = pictures * ((height + 2 * above - rows) // down + 1) * ((width + 2 * beside - columns) // across + 1)
        if places >= self.out_channels or not _as_product(input):
            return super().forward(input)
        padded_NhwC = F.pad(input.permute(0, 2, 3, 1), (0, 0, beside, beside, above, above))
        patches = padded_NhwC.unfold(1, rows, down).unfold(2, columns, across)  # (N, h', w', C, rows, columns)
        patches = patches.permute(0, 1, 2, 4, 5, 3).flatten(3)
        return F.linear(patches, self.weight.permute(0, 2, 3, 1).flatten(1), self.bias).permute(0, 3, 1, 2)


def _as_product(hidden: Tensor) -> bool:
    rounded = hidden.dtype not in (torch.float32, torch.float64) or torch.is_autocast_enabled("cpu")
    return on_cpu(hidden) and not rounded and not torch.is_grad_enabled()


def share_convolutions(module: nn.Module) -> None:
    """Make the convolutions that a module holds, of another library, this kind; the parameters stay what they are."""
    for name, layer in list(module.named_children()):
        if isinstance(layer, nn.Conv2d):
            with torch.device("meta"):  # no new values, so that nothing random is drawn
                own = Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding)  # type: ignore[arg-type]
            own.weight, own.bias = layer.weight, layer.bias
            setattr(module, name, own)
