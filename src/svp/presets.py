"""The two sizes of one code path, typed: `mini` runs on a laptop, `base` has Stable Diffusion's sizes.

Every network class takes its part of a preset as keyword arguments; there is no other place where sizes stand.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

EXPRESSION_SIZES = {"arkit-52/1": 52, "deep3d-64/1": 64}  # coefficients per frame, by the id of their encoder


class Sizes(BaseModel):
    """Base of all parts: frozen, unknown keys are errors, no defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class UNetSizes(Sizes):
    in_channels: int
    out_channels: int
    block_out_channels: tuple[int, ...]
    attention_levels: tuple[bool, ...]
    layers_per_block: int
    attention_heads: tuple[int, ...]
    norm_num_groups: int
    audio_token_dim: int
    style_token_dim: int
    reference_position: bool
    motion_levels: tuple[bool, ...]
    motion_mid: bool
    motion_heads: int
    motion_max_frames: int
    motion_norm_across_frames: bool

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        levels = len(self.block_out_channels)
        if {len(self.attention_levels), len(self.attention_heads), len(self.motion_levels)} != {levels}:
            raise ValueError("attention_levels, attention_heads and motion_levels need one entry per level")
        return self


class GuiderSizes(Sizes):
    image_channels: int
    block_out_channels: tuple[int, ...]


class AudioProjectionSizes(Sizes):
    alpha_dim: int
    window: int
    dim: int
    depth: int
    heads: int
    head_dim: int
    tokens: int
    ff_mult: int
    standardize: bool


class StyleProjectionSizes(Sizes):
    tokens: int


class StyleEncoderSizes(Sizes):
    style_size: int
    layers: int
    heads: int
    feed_forward: int
    standardize: bool


class VaeSizes(Sizes):
    """Sizes of `PatchAutoencoderKL`; None in a preset means Stable Diffusion's own `AutoencoderKL`."""

    patch_size: int
    block_out_channels: tuple[int, ...]
    layers_per_block: int
    norm_num_groups: int


class TinyDecoderSizes(Sizes):
    """Sizes of `TinyDecoder`; None in a preset for whose VAE a tiny decoder is published, TAESD."""

    width: int
    depth: int


class Preset(Sizes):
    """Everything a model's size and features follow from.

    Attributes:
        image_size: side of the generated square in pixels.
        prediction_type: what the UNet predicts; Eq. 1 is "epsilon".
        zero_terminal_snr: the last diffusion step is pure noise and sampling starts there (Lin et al. 2024); needs v.
        shared_noise: part of the noise's variance that all frames of a video have in common; 0 is the paper's.
        stillness: change of the latents between frames that is taken for noise, see `stillness.py`; 0 is the paper's.
        window, overlap: frames per window and how many of them two windows share.
        chunk: frames whose noise is stepped together before they are decoded and written.
        audio_encoder, expression_encoder: ids of the features alpha and beta.
    """

    name: Literal["mini", "base"]
    image_size: int
    prediction_type: Literal["epsilon", "v_prediction"]
    zero_terminal_snr: bool
    shared_noise: float
    stillness: float
    window: int
    overlap: int
    chunk: int
    audio_encoder: str
    expression_encoder: str
    expression_size: int
    latent_channels: int
    unet: UNetSizes
    guider: GuiderSizes
    audio_projection: AudioProjectionSizes
    style_projection: StyleProjectionSizes
    style_encoder: StyleEncoderSizes
    vae: VaeSizes | None
    tiny_decoder: TinyDecoderSizes | None

    def measured_by(self, expression_encoder: str) -> Self:
        """This preset for expressions of another encoder; itself where their size is not known."""
        size = EXPRESSION_SIZES.get(expression_encoder)
        if size is None:
            return self
        return self.model_copy(update={"expression_encoder": expression_encoder, "expression_size": size})


STYLE_ENCODER = StyleEncoderSizes(style_size=256, layers=3, heads=8, feed_forward=1024, standardize=True)

MINI = Preset(
    name="mini",
    image_size=128,
    prediction_type="v_prediction",  # learned faster than epsilon at this size
    zero_terminal_snr=True,
    shared_noise=1.0,  # frames of their own noise shimmer
    stillness=0.1,
    window=8,
    overlap=2,
    chunk=32,
    audio_encoder="whisper-tiny.en/normed",
    expression_encoder="arkit-52/1",
    expression_size=52,
    latent_channels=24,
    unet=UNetSizes(
        in_channels=24,
        out_channels=24,
        block_out_channels=(80, 112),
        attention_levels=(True, True),
        layers_per_block=1,
        attention_heads=(2, 4),
        norm_num_groups=16,
        audio_token_dim=128,
        style_token_dim=128,
        reference_position=True,
        motion_levels=(True, True),
        motion_mid=True,
        motion_heads=4,
        motion_max_frames=32,
        motion_norm_across_frames=False,
    ),
    guider=GuiderSizes(image_channels=3, block_out_channels=(8, 16, 32, 64)),
    audio_projection=AudioProjectionSizes(
        alpha_dim=1920, window=5, dim=128, depth=2, heads=4, head_dim=32, tokens=4, ff_mult=2, standardize=True
    ),
    style_projection=StyleProjectionSizes(tokens=4),
    style_encoder=STYLE_ENCODER,
    vae=VaeSizes(patch_size=2, block_out_channels=(32, 64, 128), layers_per_block=1, norm_num_groups=16),
    tiny_decoder=TinyDecoderSizes(width=64, depth=4),
)

BASE = Preset(
    name="base",
    image_size=512,
    prediction_type="epsilon",
    zero_terminal_snr=False,
    shared_noise=0.0,
    stillness=0.0,
    window=24,
    overlap=4,
    chunk=64,
    audio_encoder="whisper-tiny/normed",
    expression_encoder="arkit-52/1",
    expression_size=52,
    latent_channels=4,
    unet=UNetSizes(
        in_channels=4,
        out_channels=4,
        block_out_channels=(320, 640, 1280, 1280),
        attention_levels=(True, True, True, False),
        layers_per_block=2,
        attention_heads=(8, 8, 8, 8),
        norm_num_groups=32,
        audio_token_dim=768,
        style_token_dim=768,
        reference_position=False,
        motion_levels=(True, True, True, True),
        motion_mid=True,
        motion_heads=8,
        motion_max_frames=32,
        motion_norm_across_frames=False,
    ),
    guider=GuiderSizes(image_channels=3, block_out_channels=(16, 32, 96, 256)),
    audio_projection=AudioProjectionSizes(
        alpha_dim=1920, window=5, dim=768, depth=4, heads=12, head_dim=64, tokens=5, ff_mult=4, standardize=False
    ),
    style_projection=StyleProjectionSizes(tokens=4),
    style_encoder=STYLE_ENCODER,
    vae=None,
    tiny_decoder=None,
)

PRESETS = {preset.name: preset for preset in (MINI, BASE)}

SD_VAE = {  # Stable Diffusion 1.5's autoencoder
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
