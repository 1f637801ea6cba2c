"""How many workers this machine has memory for, where nobody says how many there shall be."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import torch

from svp.diffusion.memory_plan import network_shapes, plan_generation
from svp.diffusion.portrait import clips_among
from svp.diffusion.sampling_plan import plan_sampling
from svp.errors import InputError
from svp.jobs.request import VideoJob
from svp.media.video import largest_frame
from svp.memory import free_memory

LOGGER: Final = logging.getLogger(__name__)


def workers_that_fit(jobs: Iterable[VideoJob], most: int, max_memory: float | None) -> int:
    """As many workers on the processors as have memory for the largest of the jobs, 1 at least; told if it decides.

    Args:
        jobs: what they will do.
        most: as many are enough.
        max_memory: GB that each may take.
    """
    limit = float("inf") if max_memory is None else max_memory * 1e9
    needed, free = min(limit, max(_peaks(jobs), default=0.0)), free_memory()
    count = most if needed * most <= free else max(1, int(free / needed))
    if count < most:
        LOGGER.info(
            f"{count} of {most} workers: each may take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; "
            "--workers says otherwise"
        )
    return count


def _peaks(jobs: Iterable[VideoJob]) -> Iterator[float]:
    """Bytes of a process for a long video of each model and way of sampling, with the largest clip that is measured."""
    clips: defaultdict[tuple[Any, ...], set[Path]] = defaultdict(set)
    for job in jobs:
        request = job.request
        how = request.fast, request.steps, request.guidance_audio, request.guidance_style
        clips[job.model[0], bool(job.cues), *how] |= set(clips_among([cue.path for cue in job.cues], job.head_motion))
    for (model, styled, fast, steps, guidance_audio, guidance_style), measured in clips.items():
        with suppress(InputError):  # its worker tells what is wrong with the model
            shapes = network_shapes(model)
            sampling = plan_sampling(
                fast,
                shapes.settings,
                torch.device("cpu"),
                num_inference_steps=steps,
                guidance_audio=guidance_audio,
                guidance_style=guidance_style,
                folded=shapes.turbo is not None,
            )
            pixels = max(map(_pixels, measured), default=0)
            yield plan_generation(shapes, shapes.settings.chunk, sampling, styled=styled, clip_pixels=pixels).peak


def _pixels(clip: Path) -> int:
    with suppress(InputError):  # its worker tells what is wrong with it
        return largest_frame([clip])
    return 0
