"""The denoiser: all networks between conditions and prediction, for training and inference alike.

Shapes: B videos, F frames, C latent channels, h x w latent grid, H x W pixels, W positions and A channels of an audio
window, D channels of the style space.
"""

import torch
from torch import Tensor, nn

from svp.diffusion.audio_projection import AudioProjection
from svp.diffusion.conditions import ConditionMask, Conditions, keep_samples
from svp.diffusion.guider import HeadKpsGuider
from svp.diffusion.reference_net import ReferenceNet
from svp.diffusion.style_projection import StyleProjection
from svp.diffusion.unet import DenoisingUNet

PARTS = ("unet", "reference_net", "guider", "audio_projection", "style_projection")


class Denoiser(nn.Module):
    """UNet, ReferenceNet, guider and projections.

    `encode` runs everything that does not depend on the diffusion step, `forward` what does.
    """

    def __init__(
        self,
        *,
        unet: DenoisingUNet,
        reference_net: ReferenceNet,
        guider: HeadKpsGuider,
        audio_projection: AudioProjection,
        style_projection: StyleProjection,
    ) -> None:
        super().__init__()
        self.unet = unet
        self.reference_net = reference_net
        self.guider = guider
        self.audio_projection = audio_projection
        self.style_projection = style_projection
        # tokens are then views of pictures: training at 16 x 16 latents took 6 to 20 % less time on a CPU
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(
        self,
        reference_latents: Tensor | None,
        audio_windows: Tensor | None,
        head_kps_images: Tensor | None,
        style: Tensor | None = None,
        *,
        reference_scale: float = 1.0,
        audio_scale: float = 1.0,
        style_scale: float = 1.0,
        keep: ConditionMask | None = None,
    ) -> Conditions:
        """Project the conditions; None, and what `keep` drops, is exactly the zero condition of guidance.

        Args:
            reference_latents: clean latents of the portraits (B, C, h, w).
            audio_windows: alpha around each frame (B, F, W, A).
            head_kps_images: drawn Head-Kps (B, 3, F, H, W), RGB in [0, 1].
            style: style codes (B, D), or one per frame (B, F, D).
            reference_scale, audio_scale, style_scale: factors on the attention outputs.
            keep: samples that keep their conditions (condition dropout of training); all do by default.
        """
        keep = keep or ConditionMask()
        reference = audio = style_blocks = head_kps = None
        if reference_latents is not None:
            tokens = self.reference_net(reference_latents)
            tokens = {path: keep_samples(grid, keep.reference) for path, grid in tokens.items()}
            reference = self.unet.project_reference(tokens)
        if audio_windows is not None:
            audio = self.unet.project_audio(keep_samples(self.audio_projection(audio_windows), keep.audio))
        if head_kps_images is not None:
            head_kps = keep_samples(self.guider(head_kps_images), keep.head_kps)
        if style is not None:
            style_blocks = self.unet.project_style(keep_samples(self.style_projection(style), keep.style))
        return Conditions(
            reference=reference,
            audio=audio,
            style=style_blocks,
            head_kps=head_kps,
            reference_scale=reference_scale,
            audio_scale=audio_scale,
            style_scale=style_scale,
        )

    def forward(self, latents: Tensor, timestep: Tensor | float, conditions: Conditions, motion: bool = True) -> Tensor:
        """Predict the noise (or v) of the noisy latents (B, C, F, h, w); see `DenoisingUNet.forward`."""
        return self.unet(latents, timestep, conditions, motion)
