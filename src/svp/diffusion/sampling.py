"""Sampling: chunks of a video one after the other, the windows of a chunk together, one scheduler step per step.

Shapes: C latent channels, N frames of a chunk, F frames of a window, h x w latent grid; one video at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from torch import Tensor

from svp.diffusion.kept import KeptLatents
from svp.diffusion.noise import frame_noise
from svp.diffusion.stillness import hold_still
from svp.diffusion.windows import Chunk, Window, average_windows, plan_chunks, plan_windows

# (noisy latents (1, C, F, h, w), timestep, window inside the chunk) -> guided prediction (1, C, F, h, w)
Predict = Callable[[Tensor, Tensor, Window], Tensor]


def trailing(scheduler: EulerDiscreteScheduler) -> EulerDiscreteScheduler:
    """The same noise schedule with steps that begin at the last diffusion step: few leading ones never get there."""
    return EulerDiscreteScheduler.from_config(scheduler.config, timestep_spacing="trailing", steps_offset=0)


def sample_chunk(
    predict: Predict,
    scheduler: EulerDiscreteScheduler,
    noise: Tensor,
    known: Tensor,
    *,
    num_inference_steps: int,
    window: int,
    overlap: int,
    progress: Callable[[], None] | None = None,
) -> Tensor:
    """Euler's method for one chunk, with averaged windows.

    Args:
        predict: the guided denoiser; it is given windows of the chunk.
        scheduler: Euler; its steps are set here and it is stepped once per step for all frames.
        noise: standard normal (1, C, N, h, w), of the frames of this chunk.
        known: finished latents (1, C, K, h, w) of the first K frames, K may be 0. Before each step they overwrite
            what was sampled, noised to that step's level with these frames' own noise.
        num_inference_steps: steps.
        window, overlap: frames.
        progress: called after every evaluated window.

    Returns:
        Latents (1, C, N, h, w); the first K frames are `known`.
    """
    scheduler.set_timesteps(num_inference_steps, device=noise.device)
    scheduler.set_begin_index(0)  # so that it counts steps itself and never searches a timestep on the device
    n_frames, n_known = noise.shape[2], known.shape[2]
    windows = plan_windows(n_frames, window, overlap)
    latents = noise * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        if n_known:
            noised = scheduler.add_noise(known, noise[:, :, :n_known], timestep[None])
            latents = torch.cat((noised, latents[:, :, n_known:]), dim=2)
        scaled = scheduler.scale_model_input(latents, timestep)
        predictions = []
        for part in windows:
            predictions.append(predict(scaled[:, :, part.start : part.stop], timestep, part))
            if progress is not None:
                progress()
        prediction = average_windows(windows, predictions, n_frames)
        latents = scheduler.step(prediction, timestep, latents, return_dict=False)[0]
    return torch.cat((known, latents[:, :, n_known:]), dim=2)


def sample_video(
    chunk_predict: Callable[[Chunk], Predict],
    scheduler: EulerDiscreteScheduler,
    *,
    n_frames: int,
    latent_shape: tuple[int, int, int],
    seed: int,
    num_inference_steps: int,
    window: int,
    overlap: int,
    chunk: int,
    shared_noise: float = 0.0,
    stillness: float = 0.0,
    device: torch.device | str = "cpu",
    progress: Callable[[], None] | None = None,
    kept: KeptLatents | None = None,
) -> Iterator[Tensor]:
    """The latents of a video, chunk by chunk; only the frames that continue into the next chunk are kept.

    Args:
        chunk_predict: prepares the conditions of a chunk and returns its denoiser.
        scheduler: Euler.
        n_frames: frames of the video.
        latent_shape: (C, h, w) of one frame.
        seed: the noise of frame i follows from (seed, i).
        shared_noise: part of its variance that all frames have in common.
        stillness: see `hold_still`.
        num_inference_steps, window, overlap, chunk, progress: see `sample_chunk` and `plan_chunks`.
        kept: chunks that an interrupted run has finished are taken from here, those sampled now are added.

    Yields:
        The new frames of each chunk, (1, C, n, h, w) float32; together exactly n_frames.
    """
    chunks = plan_chunks(n_frames, chunk, window, overlap)
    finished = torch.zeros(1, latent_shape[0], 0, *latent_shape[1:], device=device)
    for number, part in enumerate(chunks):
        new = None if kept is None else kept.read(number)
        if new is not None:
            new = new.to(device)
            if progress is not None:
                for _ in range(num_inference_steps * len(plan_windows(len(part), window, overlap))):
                    progress()
        else:
            noise = frame_noise(seed, part.start, part.stop, latent_shape, shared_noise)
            latents = sample_chunk(
                chunk_predict(part),
                scheduler,
                noise.transpose(0, 1)[None].to(device),
                finished[:, :, finished.shape[2] - part.known :],
                num_inference_steps=num_inference_steps,
                window=window,
                overlap=overlap,
                progress=progress,
            )
            new = hold_still(latents, part.known, stillness)[:, :, part.known :]
            if kept is not None:
                kept.write(number, new)
        # a last chunk that starts earlier may know up to window - 1 frames
        finished = torch.cat((finished, new), dim=2)[:, :, -window:].clone()
        yield new


def count_evaluations(n_frames: int, *, num_inference_steps: int, window: int, overlap: int, chunk: int) -> int:
    """How often `progress` will be called for a video: windows times steps over all chunks."""
    chunks = plan_chunks(n_frames, chunk, window, overlap)
    return num_inference_steps * sum(len(plan_windows(len(part), window, overlap)) for part in chunks)
