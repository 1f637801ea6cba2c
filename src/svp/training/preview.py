"""What a stage has learned so far, as pictures for TensorBoard: validation samples beside the truth.

Shapes: F frames of a sample, C latent channels, h x w latent grid, S x S pixels.
"""

from __future__ import annotations

import io
from collections.abc import Sized

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.utils.data import Dataset

from svp.diffusion.guidance import guided
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.sampling import sample_chunk
from svp.diffusion.tiny_decoder import TinyDecoder
from svp.diffusion.windows import Window
from svp.media.video import FPS
from svp.training.objectives import DiffusionObjective

CLIPS, PICTURES = 3, 6
SAMPLING_STEPS = 8


class ClipPreview:
    """Clips by the networks as they are now: a row per clip; reference, truth (through the VAE) and what is generated.

    Noise and style are those of the validation sample, so the pictures of two moments differ by the weights alone.
    """

    def __init__(
        self, pipeline: SVPPipeline, objective: DiffusionObjective, samples: Dataset[dict[str, Tensor]]
    ) -> None:
        self.pipeline, self.objective, self.samples = pipeline, objective, samples

    @torch.no_grad()
    def __call__(self) -> np.ndarray:
        """The pictures of all clips, (F, H, W, 3) uint8 RGB."""
        self.pipeline.vae.to(self.objective.alphas_cumprod.device)  # type: ignore[arg-type]  # diffusers wraps it
        rows = [self._row(self.samples[n]) for n in _spread(self.samples, CLIPS)]
        return np.concatenate(rows, axis=1)

    def _row(self, sample: dict[str, Tensor]) -> np.ndarray:
        batch = {name: value[None].to(self.objective.alphas_cumprod.device) for name, value in sample.items()}
        truth, reference = self.objective.latents_of(batch)
        settings, conditions = self.pipeline.settings, self.objective.encode(batch, reference)

        def predict(latents: Tensor, timestep: Tensor, window: Window) -> Tensor:
            return guided(
                lambda given: self.objective.predict(latents, timestep, given),
                conditions,
                settings.guidance_audio,
                settings.guidance_style,
            )

        generated = sample_chunk(
            predict,
            EulerDiscreteScheduler.from_config(self.pipeline.scheduler.config),
            batch["noise"],
            truth[:, :, :0],
            num_inference_steps=min(SAMPLING_STEPS, settings.num_inference_steps),
            window=truth.shape[2],
            overlap=0,
        )
        shown = (reference[:, :, None].expand_as(truth), truth, generated)
        return np.concatenate([self._decode(latents) for latents in shown], axis=2)

    def _decode(self, latents: Tensor) -> np.ndarray:
        return np.stack(list(self.pipeline.decode_latents(latents[0].transpose(0, 1))))


class PicturePreview:
    """Pictures and what a decoder makes of the VAE's latents of them, a row per picture."""

    def __init__(
        self, vae: AutoencoderKL, decoder: AutoencoderKL | TinyDecoder, samples: Dataset[dict[str, Tensor]]
    ) -> None:
        self.vae, self.decoder, self.samples = vae, decoder, samples

    @torch.no_grad()
    def __call__(self) -> np.ndarray:
        """One picture of all, (1, H, W, 3) uint8 RGB."""
        pixels_B3SS = torch.stack([self.samples[n]["pixels"] for n in _spread(self.samples, PICTURES)])
        pixels_B3SS = pixels_B3SS.to(next(self.vae.parameters()))
        restored_B3SS = self.decoder.decode(self.vae.encode(pixels_B3SS).latent_dist.mode()).sample
        rows_3SW = torch.cat([pixels_B3SS, restored_B3SS.to(pixels_B3SS)], dim=3).unbind()
        picture_3HW = (torch.cat(rows_3SW, dim=1).clamp(-1, 1) + 1.0) * 127.5
        return picture_3HW.round().to(torch.uint8).permute(1, 2, 0)[None].cpu().numpy()


def animation(tag: str, frames_FHW3: np.ndarray) -> Summary:
    """A summary that TensorBoard shows among its images: a GIF that moves, a PNG of a single frame.

    TensorBoard's own `add_video` makes the same with moviepy, which is no part of its installation.
    """
    pictures, buffer = [Image.fromarray(frame) for frame in frames_FHW3], io.BytesIO()
    if len(pictures) == 1:
        pictures[0].save(buffer, "PNG")
    else:
        duration = 1000 // round(FPS)  # milliseconds
        pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=duration, loop=0)
    _, height, width, colors = frames_FHW3.shape
    image = Summary.Image(height=height, width=width, colorspace=colors, encoded_image_string=buffer.getvalue())
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def _spread(samples: Dataset[dict[str, Tensor]], count: int) -> list[int]:
    """Numbers of `count` samples, or of as many as there are, evenly over all."""
    assert isinstance(samples, Sized)
    return np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(int).tolist()
