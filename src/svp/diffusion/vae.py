"""The small VAE of `mini`: diffusers' AutoencoderKL beside a linear map of patches that starts as their PCA.

`base` uses Stable Diffusion's `AutoencoderKL` as it is. A small VAE from random weights is blurry for hours; the PCA of
8 x 8 patches of the same corpus is sharp at once (24 components: 32.7 dB), so the convolutions only learn what it
lacks. Folding p x p pixels into channels first (and unfolding last) drops the costly level of full resolution.

Shapes: B pictures, H x W pixels in [-1, 1], C latent channels, h x w = H/s x W/s latent cells, s = `stride`.
"""

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from diffusers.configuration_utils import FrozenDict, register_to_config
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.vae import DecoderOutput
from torch import Tensor, nn
from torch.nn import functional as F

from svp.diffusion.offload import place_of
from svp.diffusion.tiny_decoder import TinyVAE
from svp.errors import InputError

DECODE_PIXELS = 8 * 128**2  # that many are decoded at once
INITIAL_LOGVAR = -5.0  # posterior deviation 0.08 of latents of unit scale: the decoder learns to bear small errors
WHITENING = 0.5  # exponent: between the patches' own spectrum (0: fine detail drowns in noise) and equal parts (1)


class PatchAutoencoderKL(AutoencoderKL):
    """AutoencoderKL on folded pixels, (B, 3 p^2, H/p, W/p), plus a linear map between patches of s x s and latents.

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
        self.stride = patch_size * 2 ** (levels - 1)
        self.patch_in = nn.Conv2d(3 * self.stride**2, latent_channels, kernel_size=1)
        self.patch_out = nn.Conv2d(latent_channels, 3 * self.stride**2, kernel_size=1)
        quant_conv = cast(nn.Conv2d, self.quant_conv)
        for layer in (quant_conv, self.decoder.conv_out):  # the convolutions start by adding nothing
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(cast(Tensor, layer.bias))
        nn.init.constant_(cast(Tensor, quant_conv.bias)[latent_channels:], INITIAL_LOGVAR)

    @torch.no_grad()
    def start_from_pca(self, pictures: Tensor) -> None:
        """Set the linear maps to the principal components of the patches of some pictures (B, 3, H, W) in [-1, 1].

        Component k is divided by its deviation to the power of WHITENING and all by one number, so that latents have
        unit scale over all channels.
        """
        patches = F.pixel_unshuffle(pictures, self.stride).permute(0, 2, 3, 1).flatten(0, 2).double()
        mean = patches.mean(dim=0)
        variances, axes = torch.linalg.eigh(torch.cov(patches.T))
        channels = self.patch_in.out_channels
        variances, axes = variances.flip(0)[:channels].clamp_min(1e-12), axes.flip(1)[:, :channels]
        scale = variances ** (-WHITENING / 2)
        scale = scale / (variances * scale**2).mean().sqrt()
        self.patch_in.weight.copy_((axes * scale).T[..., None, None])
        cast(Tensor, self.patch_in.bias).copy_(-(axes * scale).T @ mean)
        self.patch_out.weight.copy_((axes / scale)[..., None, None])
        cast(Tensor, self.patch_out.bias).copy_(mean)

    def _encode(self, x: Tensor) -> Tensor:
        mean, logvar = super()._encode(F.pixel_unshuffle(x, self.config["patch_size"])).chunk(2, dim=1)
        return torch.cat([mean + self.patch_in(F.pixel_unshuffle(x, self.stride)), logvar], dim=1)

    def _decode(  # type: ignore[override]  # diffusers' annotation says Tensor, its code gives a tuple
        self, z: Tensor, return_dict: bool = True
    ) -> DecoderOutput | tuple[Tensor]:
        sample = F.pixel_shuffle(super()._decode(z, return_dict=False)[0], self.config["patch_size"])
        sample = sample + F.pixel_shuffle(self.patch_out(z), self.stride)
        return DecoderOutput(sample=sample) if return_dict else (sample,)


def require_vae(vae: AutoencoderKL | None) -> AutoencoderKL:
    """The VAE of a model.

    Raises:
        InputError: if the model has none.
    """
    if vae is None:
        raise InputError("vae: this model has none yet; add Stable Diffusion's with `svp import sd15 SOURCE -o MODEL`")
    return vae


def latent_stride(vae: AutoencoderKL | None) -> int:
    """Pixels per latent cell along one side.

    Raises:
        InputError: if there is no VAE.
    """
    vae = require_vae(vae)
    return int(vae.config.get("patch_size", 1)) * 2 ** (len(vae.config["block_out_channels"]) - 1)


@torch.no_grad()
def encode_image(vae: AutoencoderKL, image: np.ndarray) -> Tensor:
    """Latents (1, C, h, w) of a picture (H, W, 3) uint8: mode of the posterior x scaling_factor."""
    pixels = torch.from_numpy(image.astype(np.float32) / 127.5 - 1.0).permute(2, 0, 1)[None]
    posterior = vae.encode(pixels.to(*place_of(vae))).latent_dist
    return posterior.mode().float() * vae.config["scaling_factor"]


def decoded_at_once(image_size: int) -> int:
    """How many pictures of so many pixels a side are decoded together."""
    return max(1, DECODE_PIXELS // image_size**2)


@torch.no_grad()
def decode_latents(
    vae: AutoencoderKL | TinyVAE, latents: Tensor, image_size: int, *, bf16: bool = False
) -> Iterator[np.ndarray]:
    """Frames' latents (F, C, h, w) as pictures (S, S, 3) uint8 RGB, one after the other.

    Small pictures are decoded several at a time: by `mini` on a CPU in half the time.

    Args:
        image_size: S.
        bf16: decode in bfloat16.
    """
    device, dtype = place_of(vae)
    for part in latents.split(decoded_at_once(image_size)):
        scaled = part / vae.config["scaling_factor"]
        scaled = scaled.to(device, dtype, memory_format=torch.channels_last)  # quickest on a CPU
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            pixels = vae.decode(scaled).sample.float().clamp(-1, 1)
        yield from ((pixels + 1.0) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
