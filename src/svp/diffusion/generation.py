"""The frames of one video: conditions chunk by chunk, sampling, decoding.

Shapes: C latent channels, h x w latent grid, N frames of the video, D channels of the style space.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from torch import Tensor

from svp import __version__
from svp.diffusion.audio_track import AudioTrack
from svp.diffusion.kept import KeptLatents, fingerprint
from svp.diffusion.noise import style_noise
from svp.diffusion.offload import place_of
from svp.diffusion.sampling import Predict, count_evaluations, sample_video
from svp.diffusion.sampling_plan import SamplingPlan, plan_sampling
from svp.diffusion.tiny_decoder import TinyVAE
from svp.diffusion.vae import decode_latents, require_vae
from svp.diffusion.windows import Chunk, Window
from svp.errors import InputError
from svp.face.key_points import KEY_POINTS
from svp.media.video import FPS
from svp.style.prior import StylePrior
from svp.style.timeline import StyleTimeline

if TYPE_CHECKING:
    from svp.diffusion.pipeline import SVPPipeline


@dataclass(frozen=True, eq=False)
class Job:
    """One video, checked and measured, ready to be sampled."""

    reference_latents: Tensor  # (1, C, h, w)
    audio: AudioTrack
    points: np.ndarray  # (N, K, 2) in pixels of the crop
    style: StylePrior | StyleTimeline | None
    seed: int
    plan: SamplingPlan
    mouth_amplitude: float = 1.0  # factor on the model's own audio scale
    kept: KeptLatents | None = None

    def __post_init__(self) -> None:
        if isinstance(self.style, StyleTimeline):
            self.style.need_seconds(len(self.points) / FPS)

    def fixed_style(self) -> Tensor | None:
        """The code (D,) that holds for the whole video; None without a style, or where it changes."""
        if not isinstance(self.style, StylePrior):
            return None
        return self.style.at(style_noise(self.seed, len(self.style.mean)))

    def facts(self) -> tuple[dict[str, object], list[Tensor]]:
        """What tells this video from another one of the same recording and model: plain values and tensors."""
        styles = (
            () if self.style is None else self.style.styles if isinstance(self.style, StyleTimeline) else [self.style]
        )
        facts = {
            "seed": self.seed,
            "plan": asdict(self.plan),
            "mouth_amplitude": self.mouth_amplitude,
            "style_seconds": list(self.style.seconds) if isinstance(self.style, StyleTimeline) else [],
        }
        tensors = [self.reference_latents, torch.from_numpy(self.points)]
        return facts, [*tensors, *(tensor for style in styles for tensor in (style.mean, style.variance))]

    def changing_style(self, start: int, stop: int) -> Tensor | None:
        """The codes (F, D) of frames start … stop - 1; None where one style or none holds for the whole video."""
        if not isinstance(self.style, StyleTimeline):
            return None
        return self.style.at(style_noise(self.seed, len(self.style.styles[0].mean)), start, stop)


def job_fingerprint(pipeline: SVPPipeline, job: Job, samples: np.ndarray) -> str:
    """Of everything that the latents of a video follow from: its inputs, the weights, where and how it is computed.

    On how many threads, and with which instructions: the last bits of a sum depend on both.
    """
    facts, tensors = job.facts()
    place = [str(pipeline.unet.device), str(pipeline.unet.dtype)]
    arithmetic = [torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()]
    facts |= {
        "settings": pipeline.settings.model_dump(),
        "scheduler": {name: value for name, value in pipeline.scheduler.config.items() if not name.startswith("_")},
        "computed": [__version__, torch.__version__, *place, *arithmetic],
    }
    weights = [tensor for _, tensor in sorted(pipeline.denoiser.state_dict().items())]
    return fingerprint(facts, [*tensors, torch.from_numpy(samples), *weights])


def sampling_of(
    pipeline: SVPPipeline,
    fast: str,
    num_inference_steps: int | None = None,
    guidance_audio: float | None = None,
    guidance_style: float | None = None,
) -> SamplingPlan:
    """How a pipeline samples in a mode on its device, with steps and scales that are given; see `plan_sampling`."""
    return plan_sampling(
        fast,
        pipeline.settings,
        place_of(pipeline.unet)[0],
        most_steps=pipeline.scheduler.config["num_train_timesteps"],
        num_inference_steps=num_inference_steps,
        guidance_audio=guidance_audio,
        guidance_style=guidance_style,
        folded=pipeline.turbo is not None,
    )


def decoder_of(pipeline: SVPPipeline, tiny: bool) -> AutoencoderKL | TinyVAE:
    """What makes pictures of latents: the VAE, or if so wanted the tiny decoder where the model has one."""
    return pipeline.tiny_vae if tiny and pipeline.tiny_vae is not None else require_vae(pipeline.vae)


@torch.no_grad()
def generate_frames(
    pipeline: SVPPipeline, job: Job, callback: Callable[[int, int], None] | None
) -> Iterator[np.ndarray]:
    """Sample and decode chunk by chunk.

    Args:
        pipeline: whose networks and sizes are used.
        callback: called with (done, total) network windows.

    Yields:
        N pictures (S, S, 3) uint8 RGB.
    """
    settings, plan = pipeline.settings, job.plan
    device, _ = place_of(pipeline.unet)
    scheduler = EulerDiscreteScheduler.from_config(pipeline.scheduler.config)  # two streams may run side by side
    sizes = plan.sizes(settings)
    draw = KEY_POINTS[settings.head_kps].draw
    decoder = decoder_of(pipeline, plan.tiny_decoder)
    total = count_evaluations(len(job.points), num_inference_steps=plan.num_inference_steps, **sizes)
    done = 0

    def progress() -> None:
        nonlocal done
        done += 1
        if callback is not None:
            callback(done, total)

    def arithmetic(bf16: bool = plan.bf16) -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=bf16)

    # Reference and a style that stays are projected once per video, audio, Head-Kps and changing styles once per chunk.
    style = job.fixed_style()
    with arithmetic():
        shared = pipeline.encode_conditions(job.reference_latents, None, None, style)

    def chunk_predict(part: Chunk) -> Predict:
        drawn = torch.from_numpy(draw(job.points[part.start : part.stop], settings.image_size))
        with arithmetic(bf16=False):  # alpha is of its own
            windows = job.audio.windows(part.start, part.stop)
        style = job.changing_style(part.start, part.stop)
        own = pipeline.encode_conditions(None, windows, drawn.transpose(0, 1)[None], style)
        conditions = replace(
            own,
            reference=shared.reference,
            style=own.style if shared.style is None else shared.style,
            reference_scale=settings.reference_scale,
            audio_scale=settings.audio_scale * job.mouth_amplitude,
        )

        deep: defaultdict[Window, dict[tuple[int, ...], Tensor]] = defaultdict(dict)

        def predict(latents: Tensor, timestep: Tensor, window: Window) -> Tensor:
            step = scheduler.step_index
            if plan.runs_deep(step):
                deep.pop(window, None)
            return pipeline.predict_noise(
                latents,
                timestep,
                replace(conditions.frames(window.start, window.stop), style_scale=plan.style_scale(step)),
                **plan.guidance(step),
                deep=deep[window] if plan.deep_every > 1 else None,
            )

        return predict

    _, channels, height, width = job.reference_latents.shape
    chunks = sample_video(
        chunk_predict,
        scheduler,
        n_frames=len(job.points),
        latent_shape=(channels, height, width),
        seed=job.seed,
        num_inference_steps=plan.num_inference_steps,
        shared_noise=settings.shared_noise,
        stillness=settings.stillness,
        device=device,
        progress=progress,
        kept=job.kept,
        **sizes,
    )
    while True:
        with arithmetic():  # around a chunk, not a step: weights are rounded once for all its steps
            latents = next(chunks, None)
        if latents is None:
            return
        if not latents.isfinite().all():
            raise InputError(
                f"{pipeline.folder or 'the model'}: made no picture, its numbers grew beyond all bounds; take smaller "
                "guidance scales, or weights whose training went well"
            )
        yield from decode_latents(decoder, latents[0].transpose(0, 1), settings.image_size, bf16=plan.bf16)
