"""The small VAE of `mini`: diffusers' AutoencoderKL on squares of pixels folded into channels.

`base` uses Stable Diffusion's `AutoencoderKL` as it is. Convolutions at full resolution are most of a small VAE's cost
and see only three channels; folding p x p pixels into channels first (and unfolding last) drops that level.

Shapes: B pictures, H x W pixels in [-1, 1], C latent channels, h x w = H/s x W/s latent cells, s = `stride`.
"""

from diffusers.configuration_utils import FrozenDict, register_to_config
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.vae import DecoderOutput
from torch import Tensor
from torch.nn import functional as F


class PatchAutoencoderKL(AutoencoderKL):
    """AutoencoderKL whose encoder sees (B, 3 p^2, H/p, W/p) and whose decoder gives the same.

    Args:
        patch_size: p, side of the square of pixels that becomes one position.
        block_out_channels: width per level; each level after the first halves the resolution.
        layers_per_block: residual blocks per level (the decoder has one more, as in AutoencoderKL).
        latent_channels: C.
        norm_num_groups: groups of every GroupNorm; divides each width.
        sample_size: side of the pictures it was trained on, in pixels.
        scaling_factor: latents times this have about unit variance; set from data at the end of stage `vae`.
    """

    @register_to_config
    def __init__(
        self,
        *,
        patch_size: int,
        block_out_channels: tuple[int, ...],
        layers_per_block: int,
        latent_channels: int,
        norm_num_groups: int,
        sample_size: int,
        scaling_factor: float,
    ) -> None:
        levels = len(block_out_channels)
        own = FrozenDict(self.config)
        super().__init__(
            in_channels=3 * patch_size**2,
            out_channels=3 * patch_size**2,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            latent_channels=latent_channels,
            norm_num_groups=norm_num_groups,
            sample_size=sample_size // patch_size,
            scaling_factor=scaling_factor,
        )
        self._internal_dict = own  # the parent registered its own arguments too; the saved config holds only ours

    def _encode(self, x: Tensor) -> Tensor:
        return super()._encode(F.pixel_unshuffle(x, self.config["patch_size"]))

    def _decode(  # type: ignore[override]  # diffusers' annotation says Tensor, its code gives a tuple
        self, z: Tensor, return_dict: bool = True
    ) -> DecoderOutput | tuple[Tensor]:
        sample = F.pixel_shuffle(super()._decode(z, return_dict=False)[0], self.config["patch_size"])
        return DecoderOutput(sample=sample) if return_dict else (sample,)


def latent_stride(vae: AutoencoderKL) -> int:
    """Pixels per latent cell along one side."""
    return int(vae.config.get("patch_size", 1)) * 2 ** (len(vae.config["block_out_channels"]) - 1)
