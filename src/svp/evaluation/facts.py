"""What is measured on a video, once, for all metrics.

Shapes: N frames at 25 fps, n frames that two videos share, G x G cells of a coarse grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from svp.evaluation.face_facts import FaceFacts
from svp.style.prior import StylePrior

NO_TRUTH: Final = "no reference of this name"
GRID: Final = 64  # cells per side on which the stir of the picture is kept


class Unmeasurable(ValueError):  # noqa: N818 - no fault: it ends up in the report
    """Why something about a video cannot be told."""


@dataclass(frozen=True, eq=False)
class VideoFacts:
    """What one pass over a video found.

    Attributes:
        name: of the file, for messages.
        sha256: of the file.
        size: (height, width) in pixels.
        sharpness: (N,) variance of the Laplacian of the grey picture in [0, 255].
        colour: (N, 3) mean RGB in [0, 255].
        stir: (G, G) mean absolute change of the grey value from frame to frame.
        loudness: (N,) of its sound, see `speech.loudness`, or in words why there is none.
        sound_offset: seconds by which its sound has to be moved later to meet the mouth (negative: earlier), see
            `datasets.audio_offset`; None where the clip is too short or not clear enough to tell.
        face: the face, or in words why there is none.
        embedding: (128,) of the face, mean over one frame in four seconds; None where the network is not installed
            or sees no face.
        style: the style learned from it by the model's encoder; None where no metric asked, or in words why not.
        networks: what published networks say of it, or in words why not, see `networks.py`; those that a metric asked.
    """

    name: str
    sha256: str
    size: tuple[int, int]
    sharpness: np.ndarray
    colour: np.ndarray
    stir: np.ndarray
    loudness: np.ndarray | str
    sound_offset: float | None
    face: FaceFacts | str
    embedding: np.ndarray | None = None
    style: StylePrior | str | None = None
    networks: Mapping[str, np.ndarray | str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sharpness)

    @property
    def seen_face(self) -> FaceFacts:
        """The face.

        Raises:
            Unmeasurable: it was not found.
        """
        if isinstance(self.face, str):
            raise Unmeasurable(self.face)
        return self.face

    @property
    def known_embedding(self) -> np.ndarray:
        """The face embedding (128,).

        Raises:
            Unmeasurable: there is none.
        """
        if self.embedding is None:
            raise Unmeasurable(self.face if isinstance(self.face, str) else "no face embedding was made")
        return self.embedding

    @property
    def learned_style(self) -> StylePrior:
        """The style.

        Raises:
            Unmeasurable: there is none.
        """
        if not isinstance(self.style, StylePrior):
            raise Unmeasurable(self.style or "no style was learned")
        return self.style

    def measured_by(self, network: str) -> np.ndarray:
        """What a published network says of it.

        Raises:
            Unmeasurable: it says nothing.
        """
        found = self.networks.get(network, "was not measured")
        if isinstance(found, str):
            raise Unmeasurable(found)
        return found

    @property
    def heard(self) -> np.ndarray:
        """Loudness (N,).

        Raises:
            Unmeasurable: the video has no sound, or one that says nothing.
        """
        if isinstance(self.loudness, str):
            raise Unmeasurable(self.loudness)
        return self.loudness


@dataclass(frozen=True, eq=False)
class PixelFacts:
    """Per frame that two videos share: `psnr` (n,) in dB and `ssim` (n,)."""

    psnr: np.ndarray
    ssim: np.ndarray
