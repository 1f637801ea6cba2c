"""Style encoder: a clip's expressions and sound become a Gaussian over styles (paper Sec. 3.1, Eq. 2-4).

Shapes: B clips, N frames, D channels of the style space (d_s), E expression coefficients, A audio features,
H heads, C channels of any input.

The paper leaves the transformer's details open. Here: pre-norm layers with GELU, a closing LayerNorm per branch (so
that the distances of Eq. 6 start at a known scale), no dropout.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from svp.strict_model import StrictModel
from svp.style.style_file import fingerprint

EXPRESSION_STD_FLOOR, AUDIO_STD_FLOOR = 0.4, 0.01  # of the largest deviation


@dataclass(frozen=True)
class StyleGaussian:
    """Gaussians over styles, one per clip.

    Attributes:
        mean: mu_s of Eq. 2, (B, D).
        variance: sigma_s^2 of Eq. 3, (B, D), >= 0.
    """

    mean: Tensor
    variance: Tensor

    def at(self, noise_BD: Tensor) -> Tensor:
        """The style s = mu + sigma * eps (Eq. 4) for given standard normal `noise_BD`; differentiable at sigma = 0."""
        return self.mean + deviation(self.variance) * noise_BD

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One style (B, D) per clip (Eq. 4); eps is drawn on the CPU, so a seed means the same on every device."""
        noise_BD = torch.randn(self.mean.shape, generator=generator, dtype=torch.float32)
        return self.at(noise_BD.to(self.mean))


def deviation(variance: Tensor) -> Tensor:
    """Square root whose gradient at zero is zero: a clip of one frame has variance 0 and must not give NaN."""
    positive = variance > 0
    return torch.where(positive, torch.where(positive, variance, 1.0).sqrt(), 0.0)


def pool_moments(frames_BND: Tensor, scores_BN: Tensor, present_BN: Tensor) -> tuple[Tensor, Tensor]:
    """Attention-weighted mean and variance over the frames of each clip (Eq. 2 and 3).

    Args:
        frames_BND: style features per frame.
        scores_BN: attention logits per frame, any real number.
        present_BN: True where a frame exists; padded frames get no weight.

    Returns:
        Mean and variance, each (B, D); the variance is >= 0.

    Raises:
        ValueError: if a clip has no frame at all.
    """
    if not present_BN.any(dim=1).all():
        raise ValueError("every clip needs at least one frame")
    weights_BN1 = scores_BN.masked_fill(~present_BN, -torch.inf).softmax(dim=1)[..., None]
    mean_BD = (weights_BN1 * frames_BND).sum(dim=1)
    variance_BD = (weights_BN1 * (frames_BND - mean_BD[:, None]) ** 2).sum(dim=1)
    return mean_BD, variance_BD


def sinusoids(length: int, channels: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Positions 0 … length-1 as sines and cosines (length, channels), wavelengths 2 pi to 10,000 * 2 pi."""
    frequencies = torch.exp(torch.arange(0, channels, 2, device=device) * (-math.log(10_000.0) / channels))
    angles = torch.arange(length, device=device)[:, None] * frequencies
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1).to(dtype)


class Attention(nn.Module):
    """Multi-head attention of `queries` over `context`; padded context frames are never looked at."""

    def __init__(self, *, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.Linear(channels, channels)

    def forward(self, queries_BND: Tensor, context_BND: Tensor, present_BN: Tensor) -> Tensor:
        q, k, v = (
            project.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, N, D/H)
            for project in (self.to_q(queries_BND), self.to_k(context_BND), self.to_v(context_BND))
        )
        out_BHND = F.scaled_dot_product_attention(q, k, v, attn_mask=present_BN[:, None, None, :])
        return self.to_out(out_BHND.transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    """Pre-norm transformer layer: self-attention over the frames, then a feed-forward net per frame."""

    def __init__(self, *, channels: int, heads: int, feed_forward: int) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(channels)
        self.attention = Attention(channels=channels, heads=heads)
        self.norm_feed_forward = nn.LayerNorm(channels)
        self.feed_forward = nn.Sequential(
            nn.Linear(channels, feed_forward), nn.GELU(), nn.Linear(feed_forward, channels)
        )

    def forward(self, x_BND: Tensor, present_BN: Tensor) -> Tensor:
        normed_BND = self.norm_attention(x_BND)
        x_BND = x_BND + self.attention(normed_BND, normed_BND, present_BN)
        return x_BND + self.feed_forward(self.norm_feed_forward(x_BND))


class Branch(nn.Module):
    """One modality (B, N, C) to style features (B, N, D): linear map, positions, transformer layers, LayerNorm."""

    def __init__(self, *, in_channels: int, channels: int, layers: int, heads: int, feed_forward: int) -> None:
        super().__init__()
        self.proj_in = nn.Linear(in_channels, channels)
        self.layers = nn.ModuleList(
            EncoderLayer(channels=channels, heads=heads, feed_forward=feed_forward) for _ in range(layers)
        )
        self.norm_out = nn.LayerNorm(channels)

    def forward(self, x_BNC: Tensor, present_BN: Tensor) -> Tensor:
        x_BND = self.proj_in(x_BNC)
        x_BND = x_BND + sinusoids(x_BND.shape[1], x_BND.shape[2], x_BND.device, x_BND.dtype)
        for layer in self.layers:
            x_BND = layer(x_BND, present_BN)
        return self.norm_out(x_BND)


class StyleEncoder(StrictModel):
    """Two transformer branches, cross attention, attention pooling: (beta, alpha) -> N(mu_s, sigma_s^2).

    Args:
        expression_size: E, coefficients per frame (64 for `deep3d`).
        audio_size: A, audio features per frame (1920 for Whisper-tiny and log-mel).
        style_size: D = d_s, channels of both branches and of the style; even.
        layers: transformer layers per branch.
        heads: attention heads everywhere; divides `style_size`.
        feed_forward: width of the feed-forward nets.
        expression_encoder: id of the encoder of beta; features of another one are refused by `extract_style`.
        audio_encoder: id of the encoder of alpha, likewise.
        standardize: subtract the training data's mean and divide by its deviation, channel by channel, before the
            first layer. The moments are buffers, set once by `set_standardization`.
        deterministic: the style is mu_s of Eq. 2 alone, sigma_s = 0 (the ablation of Sec. 4.4 and Fig. 4).

    Buffers (saved with the weights): `expression_mean`, `expression_std` (E,), `audio_mean`, `audio_std` (A,), and
    `neutral_code` (D,): the mean over neutral training clips, about which a saved style is scaled; zeros until set.
    """

    expression_mean: Tensor
    expression_std: Tensor
    audio_mean: Tensor
    audio_std: Tensor
    neutral_code: Tensor

    @register_to_config
    def __init__(
        self,
        *,
        expression_size: int,
        audio_size: int,
        style_size: int,
        layers: int,
        heads: int,
        feed_forward: int,
        expression_encoder: str,
        audio_encoder: str,
        standardize: bool = False,
        deterministic: bool = False,
    ) -> None:
        super().__init__()
        if style_size % heads or style_size % 2:
            raise ValueError(f"style_size {style_size} must be even and a multiple of heads {heads}")
        sizes = {"channels": style_size, "layers": layers, "heads": heads, "feed_forward": feed_forward}
        self.expression_branch = Branch(in_channels=expression_size, **sizes)
        self.audio_branch = Branch(in_channels=audio_size, **sizes)
        self.cross_attention = Attention(channels=style_size, heads=heads)
        self.score = nn.Linear(style_size, 1, bias=False)  # W_s of Eq. 2 and 3
        self.register_buffer("expression_mean", torch.zeros(expression_size))
        self.register_buffer("expression_std", torch.ones(expression_size))
        self.register_buffer("audio_mean", torch.zeros(audio_size))
        self.register_buffer("audio_std", torch.ones(audio_size))
        self.register_buffer("neutral_code", torch.zeros(style_size))

    def forward(self, expression_BNE: Tensor | None, audio_BNA: Tensor | None, present_BN: Tensor) -> StyleGaussian:
        """Encode clips.

        A modality is absent when it is None (for all clips) or zero at every frame of a clip; the network then sees
        zeros, after standardisation too.

        Args:
            expression_BNE: expression coefficients beta per frame, or None.
            audio_BNA: audio features alpha per frame, or None.
            present_BN: True where a frame exists; what stands in padded frames has no effect.

        Raises:
            ValueError: if both modalities are absent in a clip, a clip has no frame, or shapes do not fit.
        """
        if expression_BNE is None and audio_BNA is None:
            raise ValueError("expression and audio are both absent; a style needs at least one of them")
        expression_BNE, has_expression_B = self._prepare(
            expression_BNE, present_BN, self.expression_mean, self.expression_std, "expression"
        )
        audio_BNA, has_audio_B = self._prepare(audio_BNA, present_BN, self.audio_mean, self.audio_std, "audio")
        if not (has_expression_B | has_audio_B).all():
            raise ValueError("expression and audio are both zero in a clip; a style needs at least one of them")

        style_beta_BND = self.expression_branch(expression_BNE, present_BN)
        style_alpha_BND = self.audio_branch(audio_BNA, present_BN)
        style_BND = style_beta_BND + self.cross_attention(style_beta_BND, style_alpha_BND, present_BN)
        scores_BN = self.score(style_BND)[..., 0]
        mean_BD, variance_BD = pool_moments(style_BND, scores_BN, present_BN)
        return StyleGaussian(mean_BD, torch.zeros_like(variance_BD) if self.config["deterministic"] else variance_BD)

    def set_standardization(
        self, expression_mean: Tensor, expression_std: Tensor, audio_mean: Tensor, audio_std: Tensor
    ) -> None:
        """Store the training data's moments; small deviations are raised to a share of the largest.

        For expressions the share is large: a unit that hardly moves in the training data, but does in other people's
        faces or by the fit's mistakes, would else outweigh all others.
        """
        if not self.config["standardize"]:
            raise ValueError("this encoder does not standardise its inputs (standardize=False)")
        self.expression_mean.copy_(expression_mean)
        self.audio_mean.copy_(audio_mean)
        floors = (EXPRESSION_STD_FLOOR, AUDIO_STD_FLOOR)
        for buffer, std, floor in zip(
            (self.expression_std, self.audio_std), (expression_std, audio_std), floors, strict=True
        ):
            largest = float(std.max())
            buffer.copy_(std.clamp_min(floor * largest) if largest > 0 else torch.ones_like(std))

    def fingerprint(self) -> str:
        """Short hash of all weights, marked if deterministic: a style belongs to the encoder that made it.

        Computed in float32; an encoder cast to another type answers with what was saved with it.

        Raises:
            ValueError: if the encoder was cast before it was ever saved.
        """
        return fingerprint(self._weights_hash(), deterministic=self.config["deterministic"])

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """As in `ModelMixin`, and the hash of the weights goes into the configuration."""
        self.register_to_config(_fingerprint=self._weights_hash())
        super().save_pretrained(save_directory, *args, **kwargs)

    def _weights_hash(self) -> str:
        """Of the weights as they are in float32, or as they were saved if this encoder was cast."""
        if self.dtype != torch.float32:
            if "_fingerprint" not in self.config:
                raise ValueError(f"a style encoder in {self.dtype} has no fingerprint; save it in float32 first")
            return self.config["_fingerprint"]
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            if name != "neutral_code":  # recorded in every style itself
                digest.update(name.encode())
                digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _prepare(
        self, x_BNC: Tensor | None, present_BN: Tensor, mean_C: Tensor, std_C: Tensor, name: str
    ) -> tuple[Tensor, Tensor]:
        """The branch's input and, per clip, whether the modality is there."""
        if x_BNC is None:
            shape = (*present_BN.shape, mean_C.shape[0])
            absent_B = torch.zeros(present_BN.shape[0], dtype=torch.bool, device=present_BN.device)
            return torch.zeros(shape, dtype=self.dtype, device=present_BN.device), absent_B
        if x_BNC.shape != (*present_BN.shape, mean_C.shape[0]):
            expected = (*present_BN.shape, mean_C.shape[0])
            raise ValueError(f"{name} has shape {tuple(x_BNC.shape)}, expected {expected}")
        x_BNC = x_BNC.to(self.dtype).masked_fill(~present_BN[..., None], 0.0)
        given_B = (x_BNC != 0).flatten(1).any(dim=1)
        if self.config["standardize"]:
            keep_BN1 = (given_B[:, None] & present_BN)[..., None]
            x_BNC = torch.where(keep_BN1, (x_BNC - mean_C) / std_C, 0.0)
        return x_BNC, given_B
