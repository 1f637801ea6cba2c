"""All metrics on all videos of one name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from svp.evaluation.cache import MeasurementCache
from svp.evaluation.clips import ClipSet
from svp.evaluation.facts import NO_TRUTH, PixelFacts, Unmeasurable, VideoFacts
from svp.evaluation.metric import FACELESS, AnyMetric, CurveMetric, Pair, SetMetric, Uses
from svp.evaluation.networks import NEEDED, NetworkMeasures
from svp.evaluation.observe import observe
from svp.evaluation.psnr import BEST
from svp.evaluation.report import TRUTH
from svp.evaluation.styles import StyleMeasure, gallery_centroids
from svp.style.prior import StylePrior


@dataclass
class VideoResult:
    """What the metrics said of one video, by the name of the metric.

    Attributes:
        system, name: whose video it is, and its name; the truth is judged like a system.
        input: name of its reference, which several samples of one input share.
        frames: its length.
        true_frames: length of its reference; None where there is none.
        size: (height, width) in pixels.
        failure: why nothing could be measured, "" otherwise.
        values, parts, curves, features: see the metrics in `metric.py`.
        reasons: why a metric says nothing.
    """

    system: str
    name: str
    input: str
    frames: int = 0
    true_frames: int | None = None
    size: tuple[int, int] = (0, 0)
    failure: str = ""
    values: dict[str, float] = field(default_factory=dict)
    parts: dict[str, Mapping[str, float]] = field(default_factory=dict)
    curves: dict[str, np.ndarray] = field(default_factory=dict)
    features: dict[str, np.ndarray] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def shared_frames(self) -> int:
        """Frames that it and its reference both have."""
        return self.frames if self.true_frames is None else min(self.frames, self.true_frames)


def judge(
    clips: ClipSet,
    metrics: Sequence[AnyMetric],
    cache: MeasurementCache,
    style_encoder: Path | None,
    weights: Path | None = None,
) -> list[VideoResult]:
    """All metrics on all videos of one name, and on the truth itself.

    Args:
        style_encoder: its folder; None where no metric uses one.
        weights: folder of the imported networks; None where no metric uses one.
    """
    paths = {f"{video.system}/{video.name}": video.path for video in clips.videos}
    if clips.truth is not None:
        paths[TRUTH] = clips.truth
    with_face = any(metric.about.uses not in FACELESS for metric in metrics)
    seen = observe(paths, TRUTH if clips.truth is not None else None, cache, with_face)
    facts, centroids = dict(seen.videos), {}
    if style_encoder is not None:
        centroids = _centroids(style_encoder)
        for key, found in facts.items():
            if isinstance(found, VideoFacts):
                facts[key] = replace(found, style=_style_measure(style_encoder).style(found, paths[key], cache))
    if weights is not None:
        measures = _network_measures(weights, tuple(use for use in NEEDED if any(m.about.uses == use for m in metrics)))
        for key, found in facts.items():
            if isinstance(found, VideoFacts):
                facts[key] = replace(found, networks=measures.of(found, paths[key], cache))
    truth = facts.get(TRUTH)
    compared = truth
    if isinstance(truth, VideoFacts) and isinstance(truth.face, str):  # no fault of the video's
        why = f"in its reference: {truth.face}"
        compared = replace(truth, face=why, style=why)
    results = []
    if isinstance(truth, VideoFacts):
        equal = PixelFacts(np.full(len(truth), BEST), np.ones(len(truth)))
        pair = Pair(truth, truth, equal, emotion=clips.emotion, centroids=centroids)
        results.append(_measured(TRUTH, clips.name, clips.name, pair, metrics))
    elif truth is not None:
        results.append(VideoResult(TRUTH, clips.name, clips.name, failure=truth))
    for video in clips.videos:
        key = f"{video.system}/{video.name}"
        found = facts[key]
        if isinstance(found, str):
            results.append(VideoResult(video.system, video.name, clips.name, failure=found))
            continue
        rivals = [other for other in clips.videos if other.system == video.system and other.name != video.name]
        siblings = [facts[f"{other.system}/{other.name}"] for other in rivals]
        pair = Pair(
            found,
            compared if isinstance(compared, VideoFacts) else None,
            f"reference: {truth}" if isinstance(truth, str) else seen.pixels.get(key, NO_TRUTH),
            [sibling for sibling in siblings if isinstance(sibling, VideoFacts)],
            clips.emotion,
            centroids,
        )
        results.append(_measured(video.system, video.name, clips.name, pair, metrics))
    return results


def _measured(system: str, name: str, given: str, pair: Pair, metrics: Sequence[AnyMetric]) -> VideoResult:
    """What the metrics say of a pair, the video of that system and name made from an input."""
    true_frames = None if pair.truth is None else len(pair.truth)
    result = VideoResult(system, name, given, len(pair.video), true_frames, pair.video.size)
    for metric in metrics:
        figure = metric.about.name
        try:
            if isinstance(metric, SetMetric):
                result.features[figure] = metric.features(pair.video)
                continue
            if isinstance(metric, CurveMetric):
                result.curves[figure] = curve = metric.curve(pair)
                result.values[figure] = float(curve[-1])
                continue
            result.values[figure] = metric.measure(pair)
            if metric.parts is not None:
                result.parts[figure] = metric.parts(pair)
        except Unmeasurable as reason:
            result.reasons[figure] = str(reason)
    return result


@lru_cache(maxsize=1)
def _style_measure(folder: Path) -> StyleMeasure:
    return StyleMeasure.load(folder)


@lru_cache(maxsize=1)
def _network_measures(folder: Path, uses: tuple[Uses, ...]) -> NetworkMeasures:
    return NetworkMeasures.load(folder, uses)


@lru_cache(maxsize=1)
def _centroids(folder: Path) -> dict[str, StylePrior]:
    return gallery_centroids(_style_measure(folder).fingerprint)
