"""The style of a measured video, and the styles of the gallery's emotions, by one model's encoder.

Shapes: N frames, E units, A audio features, D channels of the style space.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import torch

from svp.evaluation.cache import MeasurementCache
from svp.evaluation.facts import VideoFacts
from svp.media.audio import read_audio_or_none
from svp.media.video import FPS
from svp.speech.alpha import AudioEncoder, is_silent, load_audio_encoder
from svp.style.encoder import StyleEncoder
from svp.style.gallery import LEVELS, gallery_names, gallery_path
from svp.style.prior import StylePrior


@dataclass(frozen=True, eq=False)
class StyleMeasure:
    """Learns styles of measured videos; loaded once per process."""

    encoder: StyleEncoder
    audio_encoder: AudioEncoder

    @classmethod
    def load(cls, folder: Path) -> StyleMeasure:
        """From a saved style encoder, with the audio encoder it was trained with."""
        encoder = StyleEncoder.from_pretrained(folder).eval()
        return cls(encoder, load_audio_encoder(encoder.config["audio_encoder"]))

    @torch.no_grad()
    def style(self, facts: VideoFacts, path: Path, cache: MeasurementCache) -> StylePrior | str:
        """The style of a video, or in words why it has none; as `svp style extract` but for faces in fewer frames."""
        if isinstance(facts.face, str):
            return facts.face
        key = ("style", facts.sha256, self.encoder.fingerprint())
        known = cache.get(*key)
        if known is not None:
            mean, variance = (torch.from_numpy(known[0][name]) for name in ("mean", "variance"))
            neutral = self.encoder.neutral_code.detach().cpu().float().clone()
            return StylePrior(mean, variance, neutral, self.encoder.fingerprint(), facts.sha256, path.stem)
        audio = read_audio_or_none(path) if facts.loudness is not None else None
        alpha_NA = None
        if audio is not None and not is_silent(audio):
            alpha_NA = self.audio_encoder.encode(audio, len(facts), FPS)
        gaussian = self.encoder(
            torch.from_numpy(facts.face.fit.expression)[None],
            None if alpha_NA is None else alpha_NA[None],
            torch.from_numpy(facts.face.found)[None],
        )
        style = StylePrior.from_gaussian(gaussian, self.encoder, source_sha256=facts.sha256, name=path.stem)
        cache.put({"mean": style.mean.numpy(), "variance": style.variance.numpy()}, {}, *key)
        return style


def gallery_centroids(encoder: StyleEncoder) -> dict[str, StylePrior]:
    """The mean of each emotion's levels in the shipped gallery; none where it was made by another encoder."""
    levels: defaultdict[str, list[StylePrior]] = defaultdict(list)
    for name in gallery_names():
        for level in LEVELS:
            path = gallery_path(name, level)
            if not path.is_file():  # neutral has one level
                continue
            style = StylePrior.load(path)
            if style.encoder == encoder.fingerprint():
                levels[name].append(style)
    centroids = {}
    for name, styles in levels.items():
        centre = styles[0]
        for k, style in enumerate(styles[1:], start=2):
            centre = centre.mix(style, 1 / k)
        centroids[name] = centre
    return centroids
