"""Head-Kps guider: the drawn key points, at image resolution, become features on the latent grid.

Shapes: B videos, F frames, H x W pixels, h x w latent grid, C0 channels of the UNet's first level.
"""

import itertools

from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from svp.diffusion.attention import zero
from svp.strict_model import StrictModel


class HeadKpsGuider(StrictModel):
    """Convolutions that halve the resolution between widths; the last one starts at zero and changes nothing.

    Args:
        image_channels: channels of the drawn picture, 3 for RGB.
        block_out_channels: widths; each but the first halves the resolution, so that their number less one is the
            binary logarithm of the VAE's stride.
        out_channels: C0.
    """

    @register_to_config
    def __init__(self, *, image_channels: int, block_out_channels: tuple[int, ...], out_channels: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(image_channels, block_out_channels[0], kernel_size=3, padding=1)
        self.blocks = nn.ModuleList()
        for width, next_width in itertools.pairwise(block_out_channels):
            self.blocks.append(nn.Conv2d(width, width, kernel_size=3, padding=1))
            self.blocks.append(nn.Conv2d(width, next_width, kernel_size=3, padding=1, stride=2))
        self.conv_out = nn.Conv2d(block_out_channels[-1], out_channels, kernel_size=3, padding=1)
        for layer in (self.conv_in, *self.blocks):
            # torch's default shrinks the signal at every layer: after all of them the biases would drown the points
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        zero(self.conv_out)

    def forward(self, images: Tensor) -> Tensor:
        """Drawn pictures (B, 3, F, H, W), RGB in [0, 1], to features (B, C0, F, h, w)."""
        hidden = nn.functional.silu(self.conv_in(images.transpose(1, 2).flatten(0, 1)))
        for block in self.blocks:
            hidden = nn.functional.silu(block(hidden))
        features = self.conv_out(hidden)
        return features.unflatten(0, (images.shape[0], images.shape[2])).transpose(1, 2)
