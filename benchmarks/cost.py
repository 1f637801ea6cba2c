"""The parts of generation for one window of frames: to be timed on real networks, or counted on shapes alone."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from torch import nn

from benchmarks.layers import watch_layers
from svp.diffusion.build import build_pipeline, build_settings, build_tiny_decoder
from svp.diffusion.conditions import Conditions
from svp.diffusion.dry_run import StepMeter, without_memory
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.sampling_plan import SamplingPlan
from svp.diffusion.vae import decoded_at_once, latent_stride
from svp.diffusion.windows import plan_windows
from svp.presets import Preset

REFERENCE, CONDITIONS, DECODING = "reference net", "conditions of the frames", "decoding"
TINY_DECODING = "decoding by the tiny decoder"  # for Stable Diffusion's latents TAESD
CONDITIONAL, UNCONDITIONAL = "evaluation", "evaluation, unconditional"
KEPT = ", deep levels kept"
STEP = 500.0


def shaped(preset: Preset) -> SVPPipeline:
    """A pipeline without memory, its tiny decoder included."""
    with torch.device("meta"):
        pipeline = build_pipeline(preset, seed=0)
        own = preset.tiny_decoder is not None
        pipeline.register_modules(tiny_vae=build_tiny_decoder(preset, pipeline.vae, 0) if own else AutoencoderTiny())
    return pipeline


def filled(preset: Preset) -> SVPPipeline:
    """A pipeline with small random weights; the usual initialisation of `base` takes minutes."""
    pipeline = shaped(preset)
    for network in (part for part in pipeline.components.values() if isinstance(part, nn.Module)):
        for tensor in (*network.to_empty(device="cpu").parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.data.uniform_(-0.02, 0.02)
    return pipeline


def parts(pipeline: SVPPipeline, preset: Preset, frames: int, size: int) -> dict[str, Callable[[], object]]:
    """What runs once per video, per window and per step, by name; inputs are noise of the right shapes."""
    denoiser, vae, tiny = pipeline.denoiser, pipeline.vae, pipeline.tiny_vae
    side = size // latent_stride(vae)
    reference = torch.randn(1, preset.latent_channels, side, side)
    audio = torch.randn(1, frames, preset.audio_projection.window, preset.audio_projection.alpha_dim)
    points = torch.rand(1, 3, frames, size, size)
    style = torch.randn(1, preset.style_encoder.style_size)
    latents = torch.randn(1, preset.latent_channels, frames, side, side)
    given = denoiser.encode(reference, audio, points, style)
    decoded = latents[0].transpose(0, 1).contiguous(memory_format=torch.channels_last)
    together = decoded_at_once(size)
    deep: dict[tuple[int, ...], torch.Tensor] = {}

    def evaluate(conditions: Conditions, kept: bool) -> Callable[[], object]:
        if kept:
            denoiser.unet(latents, STEP, conditions, deep=deep)
        return lambda: denoiser.unet(latents, STEP, conditions, deep=deep if kept else None)

    nothing = given.unconditional()
    return {
        REFERENCE: lambda: denoiser.encode(reference, None, None),
        CONDITIONS: lambda: denoiser.encode(None, audio, points, style),
        CONDITIONAL: evaluate(given, False),
        UNCONDITIONAL: evaluate(nothing, False),
        CONDITIONAL + KEPT: evaluate(given, True),
        UNCONDITIONAL + KEPT: evaluate(nothing, True),
        DECODING: lambda: [vae.decode(frame) for frame in decoded.split(together)],
        TINY_DECODING: lambda: [tiny.decode(frame) for frame in decoded.split(together)],
    }


@torch.no_grad()
def count_flop(preset: Preset, frames: int, size: int) -> dict[str, int]:
    """FLOP of each part for `frames` frames of `size` pixels; no memory is taken."""
    pipeline, counted = shaped(preset), {}
    with without_memory(nn.ModuleList([pipeline.denoiser, pipeline.vae, pipeline.tiny_vae])):
        for name, run in parts(pipeline, preset, frames, size).items():
            with StepMeter([]) as meter:
                run()
            counted[name] = meter.flop
    return counted


@torch.no_grad()
def count_layers(preset: Preset, frames: int, size: int) -> Counter[str]:
    """FLOP of an evaluation by kind of layer; no memory is taken."""
    pipeline = shaped(preset)
    with without_memory(nn.ModuleList([pipeline.denoiser, pipeline.vae, pipeline.tiny_vae])):
        evaluate = parts(pipeline, preset, frames, size)[CONDITIONAL]
        with StepMeter([]) as meter, watch_layers(pipeline.unet, lambda: meter.flop) as flop:
            evaluate()
    return flop


@dataclass(frozen=True)
class FrameCost:
    """FLOP per frame of a preset in its own windows and chunks, without what runs once per video."""

    preset: Preset
    flop: dict[str, int]  # by part, for one window
    tiny: bool  # the model has a tiny decoder

    @classmethod
    def of(cls, preset: Preset, tiny: bool) -> "FrameCost":
        return cls(preset, count_flop(preset, preset.window, preset.image_size), tiny)

    def per_frame(self, plan: SamplingPlan) -> float:
        """FLOP per new frame of a long video with a style, sampled so."""
        window, overlap, chunk = plan.sizes(build_settings(self.preset)).values()
        new, windows = chunk - overlap, plan_windows(chunk, window, overlap)
        steps = 0
        for step in range(plan.num_inference_steps):
            kept = "" if plan.runs_deep(step) else KEPT
            audio, style = plan.guidance(step).values()
            conditional = (audio != style) + (style != 0)
            steps += conditional * self.flop[CONDITIONAL + kept] + (audio != 1) * self.flop[UNCONDITIONAL + kept]
        decoding = TINY_DECODING if plan.tiny_decoder and self.tiny else DECODING
        once = self.flop[CONDITIONS] * chunk / window / new + self.flop[decoding] / window
        return once + steps * len(windows) / new
