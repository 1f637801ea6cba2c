"""The losses: Eq. 1 for the diffusion stages, Eq. 6-7 for the prior, pictures + KL for the VAE.

Each objective is a module whose forward takes a batch of `samples.py` and returns the loss and figures to log, so that
`accelerate` can wrap it whole. The networks are called by the very methods that inference uses.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from svp.datasets.latents import encode_drawn
from svp.diffusion.conditions import ConditionMask, Conditions
from svp.diffusion.denoiser import Denoiser
from svp.diffusion.tiny_decoder import TinyDecoder
from svp.style.contrastive import contrastive_loss
from svp.style.encoder import StyleEncoder
from svp.training.picture_error import PictureError, picture_loss
from svp.training.samples import CONDITIONS
from svp.training.unrolled import Unrolled, clean_latents, prediction_to

Figures = dict[str, Tensor]


class DiffusionObjective(nn.Module):
    """|| prediction - target ||^2 of Eq. 1, for the noise or (v-prediction) the velocity.

    Single frames go past the motion modules, as images do in AnimateDiff's training.

    Args:
        denoiser, scheduler: of the pipeline.
        audio: whether sound takes part, and with more than one frame the motion modules.
        min_snr_gamma: gamma of min-SNR weighting; None weighs every diffusion step alike.
        change_weight: weight of the error of the change from each frame to the next; 0 is Eq. 1.
        visited: the timesteps of few steps, whose later ones start from what sampling reaches by itself (`Unrolled`);
            none noises the truth.
        pictures, picture_weight: error of the decoded prediction, and its weight.
        vae: encodes the frames of the batch; None where the batch brings latents.
    """

    alphas_cumprod: Tensor

    def __init__(
        self,
        denoiser: Denoiser,
        scheduler: EulerDiscreteScheduler,
        audio: bool,
        min_snr_gamma: float | None = None,
        vae: Any = None,
        change_weight: float = 0.0,
        visited: tuple[int, ...] = (),
        pictures: PictureError | None = None,
        picture_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.vae, self.change_weight = vae, change_weight
        self.pictures, self.picture_weight = pictures, picture_weight
        self.denoiser, self.audio, self.min_snr_gamma = denoiser, audio, min_snr_gamma
        self.prediction_type = str(scheduler.config["prediction_type"])
        self.register_buffer("alphas_cumprod", scheduler.alphas_cumprod.clone(), persistent=False)
        self.unrolled = Unrolled(visited, scheduler.alphas_cumprod, self.prediction_type) if len(visited) > 1 else None

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Figures]:
        latents, reference = self.latents_of(batch)
        conditions = self.encode(batch, reference)
        noise, timestep = batch["noise"], batch["timestep"]
        alpha = self.alphas_cumprod[timestep].view(-1, 1, 1, 1, 1)
        noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise  # z_t, Sec. 3 Preliminaries
        target = noise if self.prediction_type == "epsilon" else alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
        if self.unrolled is not None:
            later = self.unrolled.later(timestep).view(-1, 1, 1, 1, 1)
            noisy = torch.where(later, self.unrolled.states(self.predict, noise, timestep, conditions), noisy)
            target = torch.where(later, prediction_to(noisy, latents, alpha, self.prediction_type), target)
        prediction = self.predict(noisy, timestep, conditions)
        off = prediction - target
        error = off.square().mean(dim=1)  # (B,F,h,w)
        weight = batch["weight"]
        if self.min_snr_gamma is not None:
            weight = weight * min_snr_weight(alpha[:, 0], self.min_snr_gamma, self.prediction_type)
        loss = (error * weight).mean()
        if self.change_weight and off.shape[2] > 1:
            change = off.diff(dim=2).square().mean(dim=1)  # flicker, and motion that comes late
            loss = loss + self.change_weight * (change * weight[:, 1:]).mean()
        figures = {"mse": error.mean().detach()}
        if self.pictures is not None:
            clean = clean_latents(noisy, prediction, alpha, self.prediction_type)
            picture = self.pictures(clean, latents, batch["weight"])
            loss = loss + self.picture_weight * picture
            figures["picture"] = picture.detach()
        return loss, {"loss": loss.detach(), **figures}

    def encode(self, batch: dict[str, Tensor], reference: Tensor, denoiser: Denoiser | None = None) -> Conditions:
        """The conditions of a batch with reference latents (B, C, h, w), without those that its `keep` drops.

        They are for `denoiser`, by default the one that is trained.
        """
        return (denoiser or self.denoiser).encode(
            reference,
            batch["audio"] if self.audio else None,  # stage `appearance` feeds zero audio tokens
            batch["head_kps"],
            batch.get("style"),
            keep=ConditionMask(**dict(zip(CONDITIONS, batch["keep"].T, strict=True))),
        )

    def latents_of(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Latents of the targets (B,C,F,h,w) and of the references (B,C,h,w)."""
        if self.vae is None:
            return batch["latents"], batch["reference"]
        pictures, noise = batch["pictures"], batch["posterior_noise"]
        latents = encode_drawn(self.vae, pictures.flatten(0, 1), noise.flatten(0, 1)).unflatten(0, noise.shape[:2])
        return latents[:, :-1].transpose(1, 2), latents[:, -1]

    def predict(self, noisy: Tensor, timestep: Tensor, conditions: Conditions) -> Tensor:
        """The prediction (B, C, F, h, w) for noisy latents of that shape."""
        return self.denoiser(noisy, timestep, conditions, motion=self.audio and noisy.shape[2] > 1)


def min_snr_weight(alpha: Tensor, gamma: float, prediction_type: str) -> Tensor:
    """Loss weights of Hang et al. 2023: min(SNR, gamma) / SNR for the noise, min(SNR, gamma) / (SNR + 1) for v.

    Args:
        alpha: cumulated product of alphas, in [0, 1]; SNR = alpha / (1 - alpha), multiplied out: the ends are safe.
        gamma: cap of the SNR, > 0; the paper takes 5.
        prediction_type: "epsilon" or "v_prediction".
    """
    if prediction_type == "epsilon":
        return (gamma * (1 - alpha) / alpha).clamp(max=1.0)
    return torch.minimum(alpha, gamma * (1 - alpha))


class PriorObjective(nn.Module):
    """Contrastive loss on sampled style codes with modality dropout, never both (Sec. 3.3)."""

    def __init__(self, encoder: StyleEncoder, temperature: float) -> None:
        super().__init__()
        self.encoder, self.temperature = encoder, temperature

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Figures]:
        gaussian = self.encoder(
            batch["expression"] * batch["keep_expression"][:, None, None],
            batch["audio"] * batch["keep_audio"][:, None, None],
            batch["present"],
        )
        loss = contrastive_loss(gaussian.at(batch["noise"]), batch["labels"], self.temperature)
        distance_BB = torch.cdist(gaussian.mean.detach(), gaussian.mean.detach()).fill_diagonal_(torch.inf)
        nearest = batch["labels"][distance_BB.argmin(dim=1)] == batch["labels"]
        return loss, {
            "loss": loss.detach(),
            "nearest_is_positive": nearest.float().mean(),
            "sigma": gaussian.variance.detach().sqrt().mean(),
        }


class VaeObjective(nn.Module):
    """`picture_loss` plus a small KL term."""

    def __init__(self, vae: AutoencoderKL, kl_weight: float) -> None:
        super().__init__()
        self.vae, self.kl_weight = vae, kl_weight

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Figures]:
        pixels, weight = batch["pixels"], batch["weight"][:, None]
        posterior = self.vae.encode(pixels).latent_dist
        restored = self.vae.decode(posterior.mean + posterior.std * batch["noise"]).sample
        kl = posterior.kl().mean() / pixels[0].numel()
        loss = picture_loss(restored, pixels, weight) + self.kl_weight * kl
        return loss, {"loss": loss.detach(), "psnr": _psnr(restored, pixels), "kl": kl.detach()}


class TinyVaeObjective(nn.Module):
    """The same loss of pixels between the pictures of a tiny decoder and of the VAE, from the same latents."""

    def __init__(self, decoder: TinyDecoder, vae: AutoencoderKL) -> None:
        super().__init__()
        self.decoder, self.vae = decoder, vae

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Figures]:
        with torch.no_grad():
            posterior = self.vae.encode(batch["pixels"]).latent_dist
            latents = posterior.mean + posterior.std * batch["noise"]
            wanted = self.vae.decode(latents).sample
        restored = self.decoder.decode(latents).sample
        loss = picture_loss(restored, wanted, batch["weight"][:, None])
        return loss, {"loss": loss.detach(), "psnr": _psnr(restored, wanted)}


def _psnr(restored: Tensor, wanted: Tensor) -> Tensor:
    """In dB, of pictures that are shown in [-1, 1]."""
    return 10 * torch.log10(4 / F.mse_loss(restored.detach().clamp(-1, 1), wanted.clamp(-1, 1)))
