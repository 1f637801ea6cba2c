"""Networks of true architecture and tiny width, and the names that differ between diffusers and AnimateDiff."""

import re

import torch
from torch import Tensor

from svp.diffusion.audio_projection import AudioProjection
from svp.diffusion.conditions import Conditions
from svp.diffusion.denoiser import Denoiser
from svp.diffusion.guider import HeadKpsGuider
from svp.diffusion.reference_net import ReferenceNet
from svp.diffusion.style_projection import StyleProjection
from svp.diffusion.unet import DenoisingUNet

ADAPTER_NAMES = (
    (r"(motion_modules\.\d+)\.", r"\1.temporal_transformer."),
    (r"(transformer_blocks\.\d+)\.pos_embed\.", r"\1.attention_blocks.0.pos_encoder."),
    (r"(transformer_blocks\.\d+)\.norm1\.", r"\1.norms.0."),
    (r"(transformer_blocks\.\d+)\.norm2\.", r"\1.norms.1."),
    (r"(transformer_blocks\.\d+)\.norm3\.", r"\1.ff_norm."),
    (r"(transformer_blocks\.\d+)\.attn1\.", r"\1.attention_blocks.0."),
    (r"(transformer_blocks\.\d+)\.attn2\.", r"\1.attention_blocks.1."),
)


def adapter_to_svp(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the motion tensors of diffusers to AnimateDiff's names, which are ours; others keep their names."""
    renamed = {}
    for name, value in weights.items():
        if "motion_modules." in name:
            for pattern, replacement in ADAPTER_NAMES:
                name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


def sd_layout_unet(
    block_out_channels: tuple[int, ...],
    *,
    audio_token_dim: int,
    motion_norm_across_frames: bool,
    norm_num_groups: int = 32,
    style_token_dim: int = 12,
    reference_position: bool = False,
) -> DenoisingUNet:
    """SD1.5's layout: two layers per level, 8 heads, no attention in the deepest level, motion modules everywhere."""
    levels = len(block_out_channels)
    return DenoisingUNet(
        in_channels=4,
        out_channels=4,
        block_out_channels=block_out_channels,
        attention_levels=(True,) * (levels - 1) + (False,),
        layers_per_block=2,
        attention_heads=(8,) * levels,
        norm_num_groups=norm_num_groups,
        audio_token_dim=audio_token_dim,
        style_token_dim=style_token_dim,
        reference_position=reference_position,
        motion_levels=(True,) * levels,
        motion_mid=True,
        motion_heads=8,
        motion_max_frames=32,
        motion_norm_across_frames=motion_norm_across_frames,
    )


def audio_conditions(unet: DenoisingUNet, states_BFSC: Tensor) -> Conditions:
    """Text states as audio tokens and nothing else, with the reference layer left out: SD1.5's own function."""
    audio = unet.project_audio(states_BFSC)
    return Conditions(reference=None, audio=audio, style=None, head_kps=None, reference_scale=0.0)


def tiny_denoiser(*, reference_position: bool = True, seed: int = 0) -> Denoiser:
    """All networks, laid out as `mini` (no attention at full resolution); weights that start at zero are drawn too."""
    torch.manual_seed(seed)
    shape = {
        "block_out_channels": (8, 16, 24),
        "attention_levels": (False, True, True),
        "layers_per_block": 1,
        "attention_heads": (2, 2, 4),
        "norm_num_groups": 4,
    }
    denoiser = Denoiser(
        unet=DenoisingUNet(
            in_channels=4,
            out_channels=4,
            **shape,
            audio_token_dim=10,
            style_token_dim=6,
            reference_position=reference_position,
            motion_levels=(True, True, True),
            motion_mid=True,
            motion_heads=2,
            motion_max_frames=8,
            motion_norm_across_frames=False,
        ),
        reference_net=ReferenceNet(in_channels=4, out_channels=4, **shape, cross_attention_dim=10),
        guider=HeadKpsGuider(image_channels=3, block_out_channels=(4, 6, 8, 8), out_channels=8),
        audio_projection=AudioProjection(
            alpha_dim=20,
            window=5,
            dim=12,
            depth=2,
            heads=2,
            head_dim=8,
            tokens=3,
            token_dim=10,
            ff_mult=2,
            standardize=True,
        ),
        style_projection=StyleProjection(style_dim=16, tokens=4, token_dim=6),
    )
    for parameter in denoiser.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return denoiser.eval()


def tiny_inputs(batch: int = 2, frames: int = 3, seed: int = 1) -> dict[str, Tensor]:
    """Arguments of `Denoiser.encode` for `tiny_denoiser`, 8 x 8 latents."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "reference_latents": torch.randn(batch, 4, 8, 8, generator=generator),
        "audio_windows": torch.randn(batch, frames, 5, 20, generator=generator),
        "head_kps_images": torch.rand(batch, 3, frames, 64, 64, generator=generator),
        "style": torch.randn(batch, 16, generator=generator),
    }
