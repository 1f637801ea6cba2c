"""The tiny decoder of `mini`: pictures from the VAE's latents for a tenth of its FLOP, for `--fast turbo`.

The linear map from latents to patches starts as the VAE's own and alone comes within 37 dB of its pictures; a few
convolutions on the latent grid learn what it lacks. No norms and no level finer than that: on a CPU they cost more time
than their FLOP tell.

Shapes: B pictures, C latent channels, h x w latent cells, H x W = s h x s w pixels, s = `patch_size`.
"""

from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.autoencoders.vae import DecoderOutput
from torch import Tensor, nn
from torch.nn import functional as F

from svp.diffusion.attention import zero
from svp.strict_model import StrictModel


class TinyDecoder(StrictModel):
    """Residual blocks of two convolutions on the latent grid beside a linear map; every cell gives a patch of pixels.

    Args:
        width: channels of the blocks.
        depth: number of blocks.
        latent_channels: C.
        patch_size: s, pixels along a side that a latent cell stands for: the VAE's stride.
        scaling_factor: the VAE's.
    """

    @register_to_config
    def __init__(self, *, width: int, depth: int, latent_channels: int, patch_size: int, scaling_factor: float) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(latent_channels, width, kernel_size=3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.SiLU(),
                nn.Conv2d(width, width, kernel_size=3, padding=1),
                nn.SiLU(),
                nn.Conv2d(width, width, kernel_size=3, padding=1),
            )
            for _ in range(depth)
        )
        self.conv_out = nn.Conv2d(width, 3 * patch_size**2, kernel_size=3, padding=1)
        self.patch_out = nn.Conv2d(latent_channels, 3 * patch_size**2, kernel_size=1)
        zero(self.conv_out)  # the convolutions start by adding nothing

    def start_from(self, patch_out: nn.Conv2d) -> None:
        """Take over a linear map, that of `PatchAutoencoderKL`."""
        self.patch_out.load_state_dict(patch_out.state_dict())

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (B, C, h, w) as the VAE's encoder gives them to pictures (B, 3, H, W), about in [-1, 1]."""
        hidden = self.conv_in(latents)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        patches = self.conv_out(F.silu(hidden)) + self.patch_out(latents)
        return F.pixel_shuffle(patches, self.config["patch_size"])

    def decode(self, latents: Tensor) -> DecoderOutput:
        """`forward` as diffusers' autoencoders call it."""
        return DecoderOutput(sample=self(latents))


TinyVAE = TinyDecoder | AutoencoderTiny  # what decodes quickly: our own, or TAESD for Stable Diffusion's latents
