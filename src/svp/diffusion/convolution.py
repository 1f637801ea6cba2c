"""Convolution on small grids, around a slow path of torch's CPU kernels."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` of one group, undilated, padded with zeros; the values are the same but for rounding.

    torch's convolution on a CPU brings the weights into an order of its own at every call. Where a layer has more
    output channels than its grid has places, as in the deep levels of SD1.5's UNet, that takes longer than the
    convolution; one matrix product of patches with the weights as they lie is 2 to 4 times as fast (1280 channels on 8
    grids of 8 x 8 or 4 x 4, float32).
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, h, w) to (N, C', h', w')."""
        if not input.is_cpu or torch.is_grad_enabled():
            return super().forward(input)
        (rows, columns), (down, across) = self.kernel_size, self.stride
        above, beside = (int(side) for side in self.padding)
        padded_NhwC = F.pad(input.permute(0, 2, 3, 1), (0, 0, beside, beside, above, above))
        patches = padded_NhwC.unfold(1, rows, down).unfold(2, columns, across)  # (N, h', w', C, rows, columns)
        pictures, height, width = patches.shape[:3]
        if pictures * height * width >= self.out_channels:
            return super().forward(input)
        patches = patches.permute(0, 1, 2, 4, 5, 3).reshape(pictures, height, width, -1)
        return F.linear(patches, self.weight.permute(0, 2, 3, 1).flatten(1), self.bias).permute(0, 3, 1, 2)


def share_convolutions(module: nn.Module) -> None:
    """Make the convolutions that a module holds, of another library, this kind; the parameters stay what they are."""
    for name, layer in list(module.named_children()):
        if isinstance(layer, nn.Conv2d):
            with torch.device("meta"):  # no new values, so that nothing random is drawn
                own = Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding)  # type: ignore[arg-type]
            own.weight, own.bias = layer.weight, layer.bias
            setattr(module, name, own)
