"""StylePrior: the style of one clip as an object that can be sampled, mixed, scaled, saved and loaded.

Shapes: D channels of the style space.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from svp.errors import InputError
from svp.style.encoder import StyleEncoder, StyleGaussian, deviation
from svp.style.style_file import SavedStyle, check_gaussian

if TYPE_CHECKING:
    from svp.speech.alpha import AudioEncoder

STRONGEST = 1000.0  # strength beyond which nothing is meant


@dataclass(frozen=True, eq=False)
class StylePrior:
    """A Gaussian over styles and what is needed to use it rightly.

    Attributes:
        mean: mu (D,), float32 on the CPU.
        variance: sigma^2 (D,), >= 0.
        neutral: the code (D,) about which the style is scaled.
        encoder: fingerprint of the style encoder it was made with; styles of different encoders have nothing in common.
        source_sha256: SHA-256 of the clip it comes from, empty for a derived style.
        name: what a person calls it.
        extra: further facts for the header (emotion, frames, features); strings only.
    """

    mean: Tensor
    variance: Tensor
    neutral: Tensor
    encoder: str
    source_sha256: str = ""
    name: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_gaussian(*self._arrays())

    def __repr__(self) -> str:
        return f"StylePrior({self.name!r}, {len(self.mean)} numbers, encoder {self.encoder[:16]!r})"

    @classmethod
    def from_gaussian(
        cls,
        gaussian: StyleGaussian,
        encoder: StyleEncoder,
        *,
        source_sha256: str = "",
        name: str = "",
        extra: Mapping[str, str] | None = None,
    ) -> StylePrior:
        """The style of a batch of one clip, as `encoder` gave it."""
        if gaussian.mean.shape[0] != 1:
            raise ValueError(f"expected one clip, got {gaussian.mean.shape[0]}")
        mean, variance, neutral = (
            t.detach().to("cpu", torch.float32).clone()
            for t in (gaussian.mean[0], gaussian.variance[0], encoder.neutral_code)
        )
        return cls(mean, variance, neutral, encoder.fingerprint(), source_sha256, name, dict(extra or {}))

    @classmethod
    def from_clip(
        cls, path: str | Path, encoder: StyleEncoder, audio_encoder: AudioEncoder | None = None
    ) -> StylePrior:
        """The style of a clip, by the `style_encoder` of the pipeline that will use it; see `extract_style`."""
        from svp.style.extract import extract_style  # which makes objects of this class

        return extract_style(path, encoder, audio_encoder)

    def at(self, noise: Tensor) -> Tensor:
        """The style s = mu + sigma * eps (Eq. 4) for a given standard normal eps (D,)."""
        return self.mean + deviation(self.variance) * noise

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One style s (D,) from the Gaussian (Eq. 4)."""
        return self.at(torch.randn(self.mean.shape, generator=generator))

    def drawn(self, generator: torch.Generator | None = None) -> StylePrior:
        """One sampled style as a style of its own: its mean is the sample, its variance zero."""
        return replace(self, mean=self.sample(generator), variance=torch.zeros_like(self.variance), source_sha256="")

    def mix(self, other: StylePrior, weight: float) -> StylePrior:
        """(1 - weight) of this style and `weight` of `other`: linear in mean, variance and neutral code.

        Raises:
            InputError: if the styles were made by different encoders.
        """
        if self.encoder != other.encoder:
            raise InputError(
                f"style {other.name or 'B'}: made by encoder {other.encoder}, but {self.name or 'A'} by "
                f"{self.encoder}; extract both styles with the same model"
            )
        return StylePrior(
            mean=torch.lerp(self.mean, other.mean, weight),
            variance=torch.lerp(self.variance, other.variance, weight).clamp_min(0.0),
            neutral=torch.lerp(self.neutral, other.neutral, weight),
            encoder=self.encoder,
            name=f"{self.name or 'A'} {1 - weight:g} + {other.name or 'B'} {weight:g}",
            extra=dict(self.extra.items() & other.extra.items()),
        )

    def scale(self, strength: float) -> StylePrior:
        """The style at strength k: every code s becomes neutral + k (s - neutral).

        So mu becomes neutral + k (mu - neutral) and sigma^2 becomes k^2 sigma^2: 0 is the neutral code itself, 1
        changes nothing, more exaggerates.

        Raises:
            InputError: if k is no number of at most STRONGEST, of either sign.
        """
        if not abs(strength) <= STRONGEST:  # so that NaN is none either
            raise InputError(
                f"style strength {strength:g}: give a number up to {STRONGEST:g}; 0 is neutral, 1 the style as it is"
            )
        if strength == 1:
            return self  # exactly, not but for rounding
        return replace(
            self,
            mean=self.neutral + strength * (self.mean - self.neutral),
            variance=strength**2 * self.variance,
            source_sha256="",
            name=f"{self.name} x{strength:g}".strip(),
        )

    def save(self, path: str | Path) -> None:
        """Write the style to a file, see `style_file.py`.

        Raises:
            InputError: if the file cannot be written.
        """
        SavedStyle(*self._arrays(), self.encoder, self.source_sha256, self.name, self.extra).write(path)

    @classmethod
    def load(cls, path: str | Path) -> StylePrior:
        """Read a saved style.

        Raises:
            InputError: if the file is missing or no saved style.
        """
        saved = SavedStyle.read(path)
        mean, variance, neutral = map(torch.from_numpy, (saved.mean, saved.variance, saved.neutral))
        return cls(mean, variance, neutral, saved.encoder, saved.source_sha256, saved.name, saved.extra)

    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, variance and neutral code (D,), float32."""
        mean, variance, neutral = (
            t.detach().to("cpu", torch.float32).numpy() for t in (self.mean, self.variance, self.neutral)
        )
        return mean, variance, neutral
