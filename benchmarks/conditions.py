"""Ways to compute the same: conditions projected once or per step, one reference or copies, channels last or first."""

from copy import deepcopy
from dataclasses import replace

import torch

from benchmarks.timing import compare
from svp.diffusion.build import build_pipeline
from svp.diffusion.conditions import Conditions
from svp.presets import MINI

STEPS = 5


@torch.inference_mode()
def run() -> None:
    pipeline = build_pipeline(MINI, seed=0)
    frames, side = MINI.window, MINI.image_size // 8
    reference = torch.randn(1, MINI.latent_channels, side, side)
    audio = torch.randn(frames, MINI.audio_projection.window, MINI.audio_projection.alpha_dim)
    points = torch.rand(1, 3, frames, MINI.image_size, MINI.image_size)
    style = torch.randn(MINI.style_encoder.style_size)
    latents = torch.randn(1, MINI.latent_channels, frames, side, side)

    def encode() -> Conditions:
        return pipeline.encode_conditions(reference, audio, points, style)

    def cached() -> None:
        given = encode()
        for step in range(STEPS):
            pipeline.unet(latents, float(step), given)

    def uncached() -> None:
        for step in range(STEPS):
            pipeline.unet(latents, float(step), encode())

    compare(f"{STEPS} steps, conditions projected once against at every step", cached, uncached)

    shared = encode()
    copied = replace(
        shared,
        reference={
            path: (keys.repeat_interleave(frames, 0), values.repeat_interleave(frames, 0))
            for path, (keys, values) in (shared.reference or {}).items()
        },
    )
    apart = deepcopy(pipeline.unet).to(memory_format=torch.contiguous_format)
    compare(
        "an evaluation, weights with channels last against first",
        lambda: pipeline.unet(latents, 1.0, shared),
        lambda: apart(latents, 1.0, shared),
    )
    flat = latents.transpose(1, 2).flatten(0, 1)[:, :, None]  # frames as videos of one frame: each with its own copy
    alone = replace(
        copied,
        audio={p: (k.transpose(0, 1), v.transpose(0, 1)) for p, (k, v) in (shared.audio or {}).items()},
        style={
            p: (k.repeat_interleave(frames, 0), v.repeat_interleave(frames, 0))
            for p, (k, v) in (shared.style or {}).items()
        },
        head_kps=None if shared.head_kps is None else shared.head_kps.transpose(1, 2).flatten(0, 1)[:, :, None],
    )
    compare(
        "spatial layers, one reference for all frames against a copy per frame",
        lambda: pipeline.unet(latents, 1.0, shared, motion=False),
        lambda: pipeline.unet(flat, 1.0, alone, motion=False),
    )
