"""`svp generate --plan`: what a video takes, and how it can be made to take less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from svp.cli.paths import need_file
from svp.errors import InputError


def print_generation_plan(
    name: str,
    audio: Path | None,
    seconds: float | None,
    size: int | None,
    max_memory: float | None,
    fast: str,
    scales: Mapping[str, Any],
    styles: Sequence[str],
    head_motion: str,
    device: Literal["cpu", "cuda"],
) -> None:
    """Memory and FLOP of a video of a recording's length, or of a length given.

    `scales`: steps and guidance, as `plan_sampling` takes them.
    """
    if (audio is None) == (seconds is None):
        raise InputError("--plan: needs one length; give --audio or --seconds")
    from svp.diffusion.portrait import clips_among
    from svp.media.video import FRAMES_PER_SECOND, largest_frame
    from svp.style.cues import read_cues

    frames = _frames(audio) if audio is not None else max(1, round((seconds or 0) * FRAMES_PER_SECOND))
    clip_pixels = largest_frame(clips_among([cue.path for cue in read_cues(styles)], head_motion))
    import torch  # which takes seconds
    from rich.console import Console

    from svp.diffusion.memory_plan import fit_memory, network_shapes, plan_generation, print_plan
    from svp.diffusion.sampling_plan import plan_sampling
    from svp.diffusion.vae import latent_stride

    pipeline = network_shapes(name)
    if size is not None:
        multiple = latent_stride(pipeline.vae) * 2 ** (len(pipeline.unet.config["block_out_channels"]) - 1)
        if size % multiple:
            raise InputError(f"--size {size}: the networks halve it several times; give a multiple of {multiple}")
        pipeline.settings = pipeline.settings.model_copy(update={"image_size": size})
    sampling = plan_sampling(fast, pipeline.settings, torch.device(device), folded=pipeline.turbo is not None, **scales)
    options: dict[str, Any] = {"styled": bool(styles), "device": device, "clip_pixels": clip_pixels}
    if max_memory is None:
        plan = plan_generation(pipeline, frames, sampling, **options)
    else:
        plan = fit_memory(pipeline, frames, sampling, max_memory * 1e9, **options)
    print_plan(plan, name, Console())


def _frames(audio: Path) -> int:
    need_file(audio, "--audio")
    from svp.media.audio import count_samples
    from svp.media.video import count_frames

    return count_frames(count_samples(audio))
