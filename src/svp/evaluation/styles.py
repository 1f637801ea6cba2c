"""The style of a measured video, and the styles of the gallery's emotions, by one model's encoder.

Shapes: N frames, E units, A audio features, D channels of the style space.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from svp.errors import InputError
from svp.evaluation.cache import MeasurementCache
from svp.evaluation.facts import VideoFacts
from svp.face.model import FaceModel
from svp.media.audio import read_audio
from svp.media.video import FPS
from svp.speech.alpha import AudioEncoder, load_audio_encoder
from svp.style.encoder import StyleEncoder
from svp.style.gallery import gallery_styles
from svp.style.prior import StylePrior


def load_style_encoder(folder: Path) -> StyleEncoder:
    """A saved style encoder that reads what is measured here.

    Raises:
        InputError: there is none, or it was trained on other expressions.
    """
    encoder = StyleEncoder.from_pretrained(folder).eval()
    wanted, measured = encoder.config["expression_encoder"], FaceModel.load().encoder_id
    if wanted != measured:
        raise InputError(
            f"{folder}: was trained on expressions {wanted}, evaluation measures {measured}; use a model trained on "
            "those, or leave the metrics of style out by --metrics"
        )
    return encoder


@dataclass(frozen=True, eq=False)
class StyleMeasure:
    """Learns styles of measured videos; loaded once per process.

    `fingerprint` is the encoder's: it is asked for at every video, and takes a while. `heard` holds alpha of the last
    sound.
    """

    encoder: StyleEncoder
    audio_encoder: AudioEncoder
    fingerprint: str
    heard: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> StyleMeasure:
        """From a saved style encoder, with the audio encoder it was trained with."""
        encoder = load_style_encoder(folder)
        return cls(encoder, load_audio_encoder(encoder.config["audio_encoder"]), encoder.fingerprint())

    @torch.no_grad()
    def style(self, facts: VideoFacts, path: Path, cache: MeasurementCache) -> StylePrior | str:
        """The style of a video, or in words why it has none; as `svp style extract` but for faces in fewer frames."""
        if isinstance(facts.face, str):
            return facts.face
        key = ("style", facts.sha256, self.fingerprint)
        known = cache.get(*key)
        if known is None:
            alpha_NA = None
            if isinstance(facts.loudness, np.ndarray):  # there is sound, and it is not silent
                alpha_NA = self._alpha(read_audio(path), len(facts))
            gaussian = self.encoder(
                torch.from_numpy(facts.face.fit.expression)[None],
                None if alpha_NA is None else alpha_NA[None],
                torch.from_numpy(facts.face.found)[None],
            )
            learned = {"mean": gaussian.mean[0].numpy(), "variance": gaussian.variance[0].numpy()}
            cache.put(learned, {}, *key)
        else:
            learned = known[0]
        mean, variance = (torch.from_numpy(learned[name]) for name in ("mean", "variance"))
        neutral = self.encoder.neutral_code.detach().clone()
        return StylePrior(mean, variance, neutral, self.fingerprint, facts.sha256, path.stem)

    def _alpha(self, sound: np.ndarray, n_frames: int) -> Tensor:
        """alpha (N, A); the videos of one name often carry the very same sound, which is then heard once."""
        key = f"{n_frames} {hashlib.sha256(sound.tobytes()).hexdigest()}"
        if key not in self.heard:
            self.heard.clear()
            self.heard[key] = self.audio_encoder.encode(sound, n_frames, FPS)
        return self.heard[key]


def gallery_centroids(fingerprint: str) -> dict[str, StylePrior]:
    """The mean of each emotion's levels in the shipped gallery; none where another encoder than this one made it."""
    levels: defaultdict[str, list[StylePrior]] = defaultdict(list)
    for name, style in gallery_styles(fingerprint).items():
        levels[name.partition(":")[0]].append(style)
    centroids = {}
    for name, styles in levels.items():
        centre = styles[0]
        for k, style in enumerate(styles[1:], start=2):
            centre = centre.mix(style, 1 / k)
        centroids[name] = centre
    return centroids
