"""What a generation would take before it runs: peak memory, FLOP, and the largest windows that fit a given memory.

The networks run once on tensors without memory (see `dry_run.py`): portrait, conditions of a chunk, each kind of
step of a window, decoding. What a process holds besides was measured once and stands here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.modeling_utils import ModelMixin
from rich.console import Console
from rich.table import Table
from torch import nn

from svp.diffusion.build import build_pipeline
from svp.diffusion.denoiser import PARTS
from svp.diffusion.dry_run import StepMeter, without_memory
from svp.diffusion.generation import decoder_of
from svp.diffusion.guidance import predict_guided
from svp.diffusion.model_folder import SHIPPED, check_model_folder, find_model, unusable_model
from svp.diffusion.offload import place_of
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.place import as_on_card
from svp.diffusion.sampling import count_evaluations
from svp.diffusion.sampling_plan import SamplingPlan
from svp.diffusion.settings import PipelineSettings
from svp.diffusion.vae import PatchAutoencoderKL, decoded_at_once, latent_stride, require_vae
from svp.diffusion.windows import plan_chunks, plan_windows
from svp.errors import InputError
from svp.media.audio import count_samples
from svp.media.recording import HELD_BYTES
from svp.media.video import count_frames, largest_frame
from svp.presets import PRESETS
from svp.weights.config import INDEX, read_config

Device = Literal["cpu", "cuda"]

PROCESS = 790e6  # of a process that finds a face, hears with Whisper and writes a video, without networks
CUDA_CONTEXT = 800e6  # on the GPU; not measured here
SLACK = 1.12  # memory that the allocator holds and nobody uses
CLIP = 30  # bytes per pixel of a frame while a clip is decoded and measured; 27 were seen, of H.264
SOUND = 4 * 640  # bytes per frame: samples at 16 kHz, twice while they are read, up to HELD_BYTES
FRAME = 1000  # bytes per frame of the video that stay: key points, loudness, its place in the file
LATENTS = 8  # copies of a chunk's latents: noise, known frames, predictions
TILE = 256  # side in pixels of a tile when pictures are decoded in parts


@dataclass(frozen=True)
class Part:
    """What one part of the work takes: FLOP in all, and most bytes that live at once beside the weights."""

    flop: int
    live: int


@dataclass(frozen=True)
class GenerationPlan:
    """What a video would take.

    Attributes:
        settings: a pipeline's, that the plan holds for.
        frames: of the video.
        sampling: of the video.
        device: where the networks are; memory is that device's.
        tiled: pictures are decoded in tiles.
        offload: each network is on the device only while it works.
        weights: bytes of the networks that are there at once.
        parts: portrait, conditions, sampling, decoding.
        clip_pixels: of a frame of the largest clip of a style or a head motion; 0 without.
    """

    settings: PipelineSettings
    frames: int
    sampling: SamplingPlan
    device: Device
    tiled: bool
    offload: bool
    weights: int
    parts: dict[str, Part]
    clip_pixels: int = 0

    @property
    def sizes(self) -> dict[str, int]:
        """`window`, `overlap` and `chunk` in frames, as they are sampled."""
        return self.sampling.sizes(self.settings)

    @property
    def flop(self) -> int:
        return sum(part.flop for part in self.parts.values())

    @property
    def peak(self) -> float:
        """Bytes: of the process on a CPU, of the GPU's memory on a GPU."""
        networks = SLACK * (self.weights + max(part.live for part in self.parts.values()))
        if self.device == "cuda":
            return CUDA_CONTEXT + networks
        sound = 2 * min(SOUND * self.frames, HELD_BYTES)
        return PROCESS + networks + sound + FRAME * self.frames + CLIP * self.clip_pixels


def network_shapes(name: str) -> SVPPipeline:
    """A saved model's networks without memory, or those of a preset that no model is shipped of.

    Raises:
        InputError: there is neither.
    """
    if name in PRESETS and name not in SHIPPED and not Path(name).exists():
        with torch.device("meta"):
            return build_pipeline(PRESETS[name], seed=0)
    folder = find_model(name)
    check_model_folder(folder)
    parts: dict[str, nn.Module] = {}
    try:
        with torch.device("meta"):
            for part, kind in read_config(folder / INDEX).items():
                if not isinstance(kind, list) or kind[0] is None:  # a setting, or an absent part
                    continue
                network: Any = getattr(import_module(kind[0]), kind[1])
                if issubclass(network, ModelMixin):
                    parts[part] = network.from_config(network.load_config(folder / part))
    except (OSError, ValueError, TypeError, LookupError, RuntimeError, ImportError, AttributeError) as error:
        raise unusable_model(folder, error) from error
    return SVPPipeline.from_pretrained(folder, **parts)  # whose weights are not read


def shapes_of(pipeline: SVPPipeline) -> SVPPipeline:
    """The networks of a pipeline, which may be loaded, without memory."""
    parts: dict[str, Any] = dict(pipeline.components)
    with torch.device("meta"):
        for name, part in _networks(pipeline).items():
            network: Any = part
            shape = type(network).from_config(network.config)
            parts[name] = shape if shape.dtype == network.dtype else shape.to(network.dtype)  # diffusers warns of `to`
    shapes = SVPPipeline(**parts, settings=pipeline.settings)
    shapes.turbo = pipeline.turbo
    return shapes


def plan_generation(
    pipeline: SVPPipeline,
    frames: int,
    sampling: SamplingPlan,
    *,
    styled: bool = True,
    device: Device = "cpu",
    settings: PipelineSettings | None = None,
    tiled: bool = False,
    clip_pixels: int = 0,
) -> GenerationPlan:
    """The plan of one video.

    Args:
        pipeline: loaded, or see `network_shapes`.
        frames: of the video.
        sampling: steps, guidance, weights beside the model's own, see `further_bytes`.
        styled: a style is given.
        settings: other sizes than the pipeline's own.
        tiled, clip_pixels: see `GenerationPlan`.
    """
    settings = settings or pipeline.settings
    sizes = sampling.sizes(settings)
    sized, together = settings.model_copy(update=sizes), device == "cuda"
    at_once = min(frames, sized.chunk)
    parts = _measure_once(pipeline, sized, at_once, sampling, styled, tiled, together=together)
    times = {
        "portrait": 1.0,
        "conditions": sum(map(len, plan_chunks(frames, **sizes))) / at_once,
        "sampling": float(count_evaluations(frames, num_inference_steps=1, **sizes)),
        "decoding": frames / decoded_at_once(settings.image_size),
    }
    parts = {name: Part(round(times[name] * part.flop), part.live) for name, part in parts.items()}
    weights = sum(network_bytes(pipeline).values()) + further_bytes(pipeline, sampling)
    return GenerationPlan(settings, frames, sampling, device, tiled, False, weights, parts, clip_pixels)


def network_bytes(pipeline: SVPPipeline) -> dict[str, int]:
    """Of the weights, by network."""
    return {
        name: sum(tensor.nbytes for tensor in (*part.parameters(), *part.buffers()))
        for name, part in _networks(pipeline).items()
    }


def further_bytes(pipeline: SVPPipeline, sampling: SamplingPlan) -> int:
    """Of weights that a way of sampling holds beside the model's own: a distilled UNet, those rounded to bfloat16."""
    sizes = network_bytes(pipeline)
    distilled = sizes["unet"] if sampling.distilled and pipeline.turbo is not None else 0
    return distilled + (sum(sizes[name] for name in PARTS) // 2 if sampling.bf16 else 0)


def fit_memory(
    pipeline: SVPPipeline, frames: int, sampling: SamplingPlan, limit: float, **options: Any
) -> GenerationPlan:
    """The first plan within `limit` bytes: offloading (GPU), shorter chunks, decoding in tiles, shorter windows.

    Raises:
        InputError: none does.
    """
    own = pipeline.settings
    windows = [own.window]
    while windows[-1] > max(2, 2 * own.overlap):
        windows.append(max(windows[-1] // 2, own.overlap + 1))
    tiles = (False, True) if _can_tile(pipeline, own) else (False,)
    smallest = float("inf")
    for window in windows:
        for tiled in tiles:
            for chunk in dict.fromkeys((own.chunk, 2 * window, window) if window == own.window else (window,)):
                settings = own.model_copy(update={"window": window, "chunk": min(chunk, own.chunk)})
                plan = plan_generation(pipeline, frames, sampling, settings=settings, tiled=tiled, **options)
                choices = [plan]
                if plan.device == "cuda":
                    kept = max(network_bytes(pipeline).values()) + further_bytes(pipeline, sampling)
                    choices.append(replace(plan, offload=True, weights=kept))
                for choice in choices:
                    if choice.peak <= limit:
                        return choice
                    smallest = min(smallest, choice.peak)
    raise InputError(
        f"--max-memory {limit / 1e9:g}: this model needs {smallest / 1e9:.2f} GB with the shortest windows; "
        "give more, or take a smaller model"
    )


@contextmanager
def within_memory(
    pipeline: SVPPipeline,
    audio: Path,
    max_memory: float | None,
    sampling: SamplingPlan,
    *,
    styled: bool,
    clips: Iterable[Path] = (),
) -> Iterator[GenerationPlan | None]:
    """Let a loaded pipeline make the video of a recording within so many GB, as `fit_memory` finds; then as before.

    Args:
        clips: that are measured for it, of styles and of a head motion.

    Raises:
        InputError: it cannot, or one of the files cannot be read.
    """
    if max_memory is None:
        yield None
        return
    own, (place, _) = pipeline.settings, place_of(pipeline.unet)
    device: Device = "cuda" if place.type == "cuda" else "cpu"
    frames = count_frames(count_samples(audio))
    asked: dict[str, Any] = {"styled": styled, "device": device, "clip_pixels": largest_frame(clips)}
    plan = fit_memory(pipeline, frames, sampling, max_memory * 1e9, **asked)
    pipeline.settings = plan.settings
    if plan.tiled:
        use_tiles(pipeline.vae)
    if plan.offload:
        pipeline.enable_model_cpu_offload()
    try:
        yield plan
    finally:
        pipeline.settings = own
        if plan.tiled:
            pipeline.vae.disable_tiling()
        if plan.offload:
            pipeline.remove_all_hooks()
            pipeline.to(place)


def use_tiles(vae: AutoencoderKL) -> None:
    """Decode in overlapping tiles of TILE pixels."""
    vae.enable_tiling()
    vae.tile_sample_min_size = TILE
    vae.tile_latent_min_size = TILE // latent_stride(vae)


def _can_tile(pipeline: SVPPipeline, settings: PipelineSettings) -> bool:
    return not isinstance(pipeline.vae, PatchAutoencoderKL) and settings.image_size > TILE


def _networks(pipeline: SVPPipeline) -> dict[str, nn.Module]:
    return {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}


_measured: dict[tuple[Hashable, ...], dict[str, Part]] = {}  # by what it follows from, for the next video


def _measure_once(pipeline: SVPPipeline, *sizes: Any, together: bool) -> dict[str, Part]:
    """As `_measure`, which is asked once about networks that are alike."""
    networks: list[Any] = []
    for name, part in _networks(pipeline).items():
        network: Any = part
        config = {key: value for key, value in network.config.items() if not key.startswith("_")}  # no paths
        networks.append((name, type(network).__name__, str(network.dtype), config))
    key = (json.dumps(networks, sort_keys=True), *sizes, together)
    if key not in _measured:
        _measured[key] = _measure(pipeline, *sizes, together=together)
    return _measured[key]


def _measure(
    pipeline: SVPPipeline,
    settings: PipelineSettings,
    frames: int,
    sampling: SamplingPlan,
    styled: bool,
    tiled: bool,
    *,
    together: bool,
) -> dict[str, Part]:
    """Each part once: the portrait, the conditions of a chunk, all steps of a window, one batch of pictures.

    Where deep levels are used again, those of all windows of a chunk are kept until the next. `together`: see `guided`;
    a graphics card does so.
    """
    require_vae(pipeline.vae)
    size, window = settings.image_size, min(frames, settings.window)
    parts: dict[str, Part] = {}
    pipeline = shapes_of(pipeline)  # what was measured cannot be used again
    denoiser = pipeline.denoiser  # made here: it lays its weights out anew
    with as_on_card(together), without_memory(nn.ModuleDict(_networks(pipeline))) as shapes, torch.no_grad():
        alpha = pipeline.audio_projection.config
        pixels = torch.zeros(1, 3, size, size)
        audio = torch.zeros(1, frames, alpha["window"], alpha["alpha_dim"])
        points = torch.zeros(1, 3, frames, size, size)
        style = torch.zeros(1, pipeline.style_projection.config["style_dim"]) if styled else None
        held = [*shapes.parameters(), *shapes.buffers(), pixels, audio]
        with StepMeter(held) as meter:

            @contextmanager
            def part(name: str, beside: int = 0) -> Iterator[None]:
                before, meter.peak = meter.flop, meter.live
                yield
                parts[name] = Part(meter.flop - before, meter.peak + beside)

            with part("portrait"):
                reference = pipeline.vae.encode(pixels).latent_dist.mode()
                shared = denoiser.encode(reference, None, None, style)
            latents = LATENTS * frames * reference.nbytes
            with part("conditions", 2 * points.nbytes):  # drawn, and as the network takes it
                own = denoiser.encode(None, audio, points, None)
            given = own.frames(0, window)
            given = type(given)(shared.reference, given.audio, shared.style, given.head_kps)
            noisy = torch.zeros(1, *reference.shape[1:2], window, *reference.shape[2:])
            others = len(plan_windows(frames, settings.window, settings.overlap)) - 1
            deep: dict[tuple[int, ...], torch.Tensor] = {}
            flop = live = kept = 0
            for step, times in sampling.kinds().items():
                if sampling.runs_deep(step):
                    deep.clear()
                with part("sampling", latents):
                    predict_guided(
                        pipeline.unet,
                        noisy,
                        torch.tensor(500.0),
                        given,
                        **sampling.guidance(step),
                        together=together,
                        deep=deep if sampling.deep_every > 1 else None,
                    )
                flop, live = flop + times * parts["sampling"].flop, max(live, parts["sampling"].live)
                kept = max(kept, others * sum(tensor.nbytes for tensor in deep.values()))
            parts["sampling"] = Part(flop, live + kept)
            count, decoder = decoded_at_once(settings.image_size), decoder_of(pipeline, sampling.tiny_decoder)
            tiled = tiled and decoder is pipeline.vae
            with part("decoding", latents + kept):
                side = min(size, TILE) // latent_stride(pipeline.vae) if tiled else reference.shape[-1]
                decoder.decode(torch.zeros(count, reference.shape[1], side, side))
            if tiled:  # neighbours overlap by a quarter
                tiles = math.ceil(4 * size / (3 * TILE)) ** 2
                parts["decoding"] = Part(tiles * parts["decoding"].flop, parts["decoding"].live)
    return parts


def print_plan(plan: GenerationPlan, name: str, console: Console) -> None:
    """Two tables and what they assume."""
    settings, gb = plan.settings, 1e9
    table = Table("part", title=f"{name}: {plan.frames} frames, {settings.image_size} x {settings.image_size}, "
                  f"{plan.sampling.num_inference_steps} steps, {plan.device}", title_justify="left")  # fmt: skip
    for heading in ("TFLOP", "GB at its peak, beside the weights"):
        table.add_column(heading, justify="right")
    for part, cost in plan.parts.items():
        table.add_row(part, f"{cost.flop / 1e12:,.3g}", f"{cost.live / gb:.3f}")
    table.add_row("all", f"{plan.flop / 1e12:,.3g}", "")
    console.print(table)
    console.print(f"weights {plan.weights / gb:.2f} GB; peak memory {plan.peak / gb:.2f} GB", highlight=False)
    extras = ["decoding in tiles"] * plan.tiled + ["networks offloaded to the CPU"] * plan.offload
    console.print(
        "windows of {window} frames, overlap {overlap}, chunks of {chunk}".format(**plan.sizes)
        + "".join(f", {extra}" for extra in extras),
        highlight=False,
    )
    if plan.device == "cuda":
        console.print("GPU memory is computed from the shapes and was not measured here.", highlight=False)
