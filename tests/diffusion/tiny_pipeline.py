"""A whole pipeline of tiny random networks, log-mel sound and a drawn face: everything but the face tracker runs."""

import numpy as np
import pytest
import torch

from svp.diffusion.build import build_pipeline, build_tiny_decoder
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.portrait import Portrait
from svp.face.crop import SquareCrop
from svp.face.fit import fit_clip
from svp.face.model import FaceModel
from svp.presets import MINI, AudioProjectionSizes, GuiderSizes, Preset, StyleEncoderSizes, TinyDecoderSizes, VaeSizes
from svp.speech.alpha import LOG_MEL
from svp.style.prior import StylePrior

SIZE = 32


def tiny_preset() -> Preset:
    """`mini` with tiny widths, windows of 4 frames and chunks of 8."""
    unet = MINI.unet.model_copy(
        update={
            "in_channels": 4,
            "out_channels": 4,
            "block_out_channels": (8, 16),
            "attention_levels": (True, True),
            "attention_heads": (2, 2),
            "norm_num_groups": 4,
            "audio_token_dim": 8,
            "style_token_dim": 8,
            "motion_levels": (True, True),
            "motion_heads": 2,
            "motion_max_frames": 8,
        }
    )
    changes = {
        "image_size": SIZE,
        "shared_noise": 0.0,  # so that frames differ
        "stillness": 0.2,
        "window": 4,
        "overlap": 1,
        "chunk": 8,
        "audio_encoder": LOG_MEL,
        "expression_encoder": FaceModel.load().encoder_id,
        "latent_channels": 4,
        "unet": unet,
        "guider": GuiderSizes(image_channels=3, block_out_channels=(4, 4, 8, 8)),
        "audio_projection": AudioProjectionSizes(
            alpha_dim=1920, window=5, dim=8, depth=1, heads=2, head_dim=4, tokens=2, ff_mult=2, standardize=False
        ),
        "style_encoder": StyleEncoderSizes(style_size=16, layers=1, heads=2, feed_forward=16, standardize=False),
        "vae": VaeSizes(patch_size=2, block_out_channels=(8, 8, 8), layers_per_block=1, norm_num_groups=4),
        "tiny_decoder": TinyDecoderSizes(width=8, depth=1),
    }
    return MINI.model_copy(update=changes)


def tiny_pipeline(seed: int = 0, preset: Preset | None = None) -> SVPPipeline:
    """Every weight is drawn, also those that start at zero: every condition has an effect."""
    pipeline = build_pipeline(preset or tiny_preset(), seed)
    generator = torch.Generator().manual_seed(seed)
    for module in (pipeline.denoiser, pipeline.vae, pipeline.style_encoder):
        for parameter in module.eval().parameters():
            if not parameter.any():
                parameter.data.normal_(0.0, 0.1, generator=generator)
    return pipeline


def with_tiny_decoder(pipeline: SVPPipeline, seed: int = 0) -> SVPPipeline:
    """The same networks, shared, and a random tiny decoder of their latents."""
    decoder = build_tiny_decoder(tiny_preset(), pipeline.vae, seed)
    torch.nn.init.normal_(decoder.conv_out.weight, std=0.1, generator=torch.Generator().manual_seed(seed))
    return SVPPipeline(**pipeline.components | {"tiny_vae": decoder}, settings=pipeline.settings)


def drawn_portrait() -> Portrait:
    """A portrait whose landmarks are the face model's own, over smooth colours."""
    model = FaceModel.load()
    landmarks = model.neutral * (SIZE / 4) + np.array([SIZE / 2, SIZE / 2, 0])
    ramp = np.linspace(0, 255, SIZE)
    image = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], 128.0), axis=-1).astype(np.uint8)
    crop = SquareCrop(SIZE / 2, SIZE / 2, SIZE, SIZE)
    return Portrait(image, landmarks.astype(np.float32), fit_clip(landmarks[None].astype(np.float32), model), crop)


def tone(seconds: float, seed: int = 0) -> np.ndarray:
    """A sweeping tone with noise, (samples,) float32 at 16 kHz."""
    t = np.arange(round(seconds * 16000)) / 16000
    noise = np.random.default_rng(seed).normal(size=len(t))
    return (0.3 * np.sin(2 * np.pi * (200 + 300 * t) * t) + 0.02 * noise).astype(np.float32)


def random_style(pipeline: SVPPipeline, seed: int = 0) -> StylePrior:
    """A style that claims to come from the pipeline's encoder."""
    generator = torch.Generator().manual_seed(seed)
    mean, neutral = torch.randn(2, 16, generator=generator)
    variance = torch.rand(16, generator=generator)
    return StylePrior(mean, variance, neutral, pipeline.style_encoder.fingerprint(), name=f"style {seed}")


def watch_styles(pipeline: SVPPipeline, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """A list that fills with the style codes that `encode_conditions` is given from now on."""
    given: list[torch.Tensor] = []
    encode = pipeline.encode_conditions

    def watched(reference: object, audio: object, head_kps: object, style: torch.Tensor | None = None) -> object:
        given.extend([] if style is None else [style])
        return encode(reference, audio, head_kps, style)

    monkeypatch.setattr(pipeline, "encode_conditions", watched)
    return given
