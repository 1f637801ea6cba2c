"""A pipeline with random weights from a preset: where training from scratch starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler

from svp.diffusion.audio_projection import AudioProjection
from svp.diffusion.guider import HeadKpsGuider
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.reference_net import ReferenceNet
from svp.diffusion.settings import PipelineSettings
from svp.diffusion.style_projection import StyleProjection
from svp.diffusion.tiny_decoder import TinyDecoder
from svp.diffusion.unet import DenoisingUNet
from svp.diffusion.vae import PatchAutoencoderKL, latent_stride
from svp.presets import SD_VAE, Preset
from svp.speech.layout import alpha_layout
from svp.style.encoder import StyleEncoder

REFERENCE_SIZES = (
    "in_channels",
    "out_channels",
    "block_out_channels",
    "attention_levels",
    "layers_per_block",
    "attention_heads",
    "norm_num_groups",
)


def build_pipeline(preset: Preset, seed: int) -> SVPPipeline:
    """All networks of a preset, initialised from the seed; the caller's random numbers are left as they were.

    Under `torch.device("meta")` it gives the shapes without the memory.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SVPPipeline(
            **{name: build(preset) for name, build in BUILDERS.items()},
            scheduler=build_scheduler(preset.prediction_type, preset.zero_terminal_snr),
            settings=build_settings(preset),
        )


def build_vae(preset: Preset) -> AutoencoderKL:
    """The preset's own small VAE, or Stable Diffusion's autoencoder."""
    if preset.vae is None:
        return AutoencoderKL(**SD_VAE)
    return PatchAutoencoderKL(
        **preset.vae.model_dump(),
        latent_channels=preset.latent_channels,
        sample_size=preset.image_size,
        scaling_factor=1.0,  # set from the latents at the end of stage `vae`
    )


def build_tiny_decoder(preset: Preset, vae: AutoencoderKL, seed: int) -> TinyDecoder:
    """The preset's tiny decoder for a VAE's latents, initialised from the seed as in `build_pipeline`."""
    assert preset.tiny_decoder is not None, "no stage trains one for this preset"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TinyDecoder(
            **preset.tiny_decoder.model_dump(),
            latent_channels=preset.latent_channels,
            patch_size=latent_stride(vae),
            scaling_factor=vae.config["scaling_factor"],
        )


def build_unet(preset: Preset) -> DenoisingUNet:
    """The denoising UNet."""
    return DenoisingUNet(**preset.unet.model_dump())


def build_reference_net(preset: Preset) -> ReferenceNet:
    """The ReferenceNet of the same sizes."""
    sizes = {name: getattr(preset.unet, name) for name in REFERENCE_SIZES}
    return ReferenceNet(**sizes, cross_attention_dim=preset.unet.audio_token_dim)


def build_guider(preset: Preset) -> HeadKpsGuider:
    """The Head-Kps guider."""
    return HeadKpsGuider(**preset.guider.model_dump(), out_channels=preset.unet.block_out_channels[0])


def build_audio_projection(preset: Preset) -> AudioProjection:
    """The audio projection."""
    return AudioProjection(**preset.audio_projection.model_dump(), token_dim=preset.unet.audio_token_dim)


def build_style_projection(preset: Preset) -> StyleProjection:
    """The style projection."""
    return StyleProjection(
        style_dim=preset.style_encoder.style_size,
        tokens=preset.style_projection.tokens,
        token_dim=preset.unet.style_token_dim,
    )


def build_style_encoder(preset: Preset) -> StyleEncoder:
    """The style encoder for the preset's features."""
    return StyleEncoder(
        **preset.style_encoder.model_dump(),
        expression_size=preset.expression_size,
        audio_size=preset.audio_projection.alpha_dim * alpha_layout(preset.audio_encoder).positions,
        expression_encoder=preset.expression_encoder,
        audio_encoder=preset.audio_encoder,
    )


BUILDERS: dict[str, Callable[[Preset], Any]] = {  # in the order in which they draw their random numbers
    "vae": build_vae,
    "unet": build_unet,
    "reference_net": build_reference_net,
    "guider": build_guider,
    "audio_projection": build_audio_projection,
    "style_projection": build_style_projection,
    "style_encoder": build_style_encoder,
}


def build_settings(preset: Preset) -> PipelineSettings:
    """What a pipeline says about itself."""
    return PipelineSettings(
        image_size=preset.image_size,
        window=preset.window,
        overlap=preset.overlap,
        chunk=preset.chunk,
        audio_encoder=preset.audio_encoder,
        expression_encoder=preset.expression_encoder,
        shared_noise=preset.shared_noise,
        stillness=preset.stillness,
    )


def build_scheduler(prediction_type: str, zero_terminal_snr: bool) -> EulerDiscreteScheduler:
    """The noise schedule of Stable Diffusion 1.5 for the sampler of Sec. 4.1; with zero terminal SNR V-Express's.

    Raises:
        ValueError: noise is to be predicted where there is nothing but noise.
    """
    if zero_terminal_snr and prediction_type != "v_prediction":
        raise ValueError(f"zero terminal SNR needs v_prediction, not {prediction_type}")
    with torch.device("cpu"):  # its few numbers are computed with, also where the networks have only shapes
        return EulerDiscreteScheduler(
            num_train_timesteps=1000,
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type=prediction_type,
            rescale_betas_zero_snr=zero_terminal_snr,
            timestep_spacing="trailing" if zero_terminal_snr else "leading",
            steps_offset=0 if zero_terminal_snr else 1,
        )
