"""Style codes of the clips of a prepared dataset, learned from their expressions, their sound, or both.

Shapes: B clips, N frames of a clip, E expression coefficients, D channels of the style space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from svp.datasets.manifest import UNKNOWN, ClipRow
from svp.datasets.prepared import PreparedDataset
from svp.errors import InputError
from svp.style.encoder import StyleEncoder, StyleGaussian

Modality = Literal["audio", "expression", "audio and expression"]  # the rows of Table 3
MODALITIES: Final[tuple[Modality, ...]] = get_args(Modality)
BOTH: Final[Modality] = "audio and expression"


@dataclass(frozen=True, eq=False)
class StyleCodes:
    """Gaussians over styles of several clips.

    Attributes:
        rows: the B clips.
        gaussian: mean mu and variance sigma^2 (B, D), on the CPU.
        missing: clips that lack the modality, as a silent one lacks audio; they have no code.
    """

    rows: tuple[ClipRow, ...]
    gaussian: StyleGaussian
    missing: tuple[ClipRow, ...]

    def by_clip(self) -> dict[str, StyleGaussian]:
        """The Gaussian of each clip, (1, D), by its id."""
        mean, variance = self.gaussian.mean.split(1), self.gaussian.variance.split(1)
        return {row.clip_id: StyleGaussian(mean[k], variance[k]) for k, row in enumerate(self.rows)}

    def labelled(self) -> StyleCodes:
        """Those of clips whose emotion is known."""
        known = [k for k, row in enumerate(self.rows) if row.emotion != UNKNOWN]
        gaussian = StyleGaussian(self.gaussian.mean[known], self.gaussian.variance[known])
        missing = tuple(row for row in self.missing if row.emotion != UNKNOWN)
        return StyleCodes(tuple(self.rows[k] for k in known), gaussian, missing)


@torch.no_grad()
def encode_clips(
    encoder: StyleEncoder,
    dataset: PreparedDataset,
    rows: Sequence[ClipRow],
    modality: Modality = BOTH,
    *,
    progress: str = "",
) -> StyleCodes:
    """The style of every clip, each encoded whole and alone, so that no padding is involved.

    Args:
        encoder: set to eval mode here.
        dataset: prepared with the encoders of expression and audio that `encoder` was trained with.
        rows: accepted clips of it.
        modality: what of a clip is encoded; the other one is absent, as in training with modality dropout. With both,
            a silent clip is encoded by its expressions.
        progress: what a bar on stderr says; none without it.

    Raises:
        InputError: the dataset has other features, or a clip cannot be read.
    """
    names = [name for name in ("expression", "audio") if name in modality]
    for name in names:
        has, wants = getattr(dataset, f"{name}_encoder"), encoder.config[f"{name}_encoder"]
        if has != wants:
            raise InputError(
                f"{dataset.root}: {name} features by {has}, the style encoder was trained on {wants}; "
                "prepare the dataset again or use another model"
            )
    encoder.eval()
    found, missing, means, variances = [], [], [], []
    watched = track(rows, progress, console=Console(stderr=True), transient=True, disable=not progress)
    for row in watched:
        clip = dataset.clip(row.clip_id)
        features = {name: clip.features(name).astype(np.float32) for name in names}
        if not any(values.any() for values in features.values()):  # zeros mean absent to the encoder
            missing.append(row)
            continue
        given = {name: torch.from_numpy(values)[None].to(encoder.device) for name, values in features.items()}
        present_BN = torch.ones(1, row.frames, dtype=torch.bool, device=encoder.device)
        gaussian = encoder(given.get("expression"), given.get("audio"), present_BN)
        found.append(row)
        means.append(gaussian.mean.cpu())
        variances.append(gaussian.variance.cpu())
    empty = torch.zeros(0, encoder.config["style_size"])
    gaussian = StyleGaussian(torch.cat([empty, *means]), torch.cat([empty, *variances]))
    return StyleCodes(tuple(found), gaussian, tuple(missing))


def mean_expressions(dataset: PreparedDataset, rows: Sequence[ClipRow]) -> np.ndarray:
    """What a style encoder has to be better than: the mean of beta over a clip's frames (B, E), float64.

    Each unit is standardised over these clips; one that never moves is zero.
    """
    means_BE = np.stack([dataset.clip(row.clip_id).features("expression").astype(np.float64).mean(0) for row in rows])
    means_BE -= means_BE.mean(0)
    spread_E = means_BE.std(0)
    return np.divide(means_BE, spread_E, out=np.zeros_like(means_BE), where=spread_E > 1e-12)
