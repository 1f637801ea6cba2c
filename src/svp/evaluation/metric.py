"""What a metric is: how a number is made of a video, and what a reader has to know of it.

Shapes: S seconds of a video, N feature vectors of D channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from svp.evaluation.facts import NO_TRUTH, PixelFacts, Unmeasurable, VideoFacts
from svp.evaluation.report import Better
from svp.style.prior import StylePrior

Uses = Literal["pixels", "face", "style", "embedding", "inception", "i3d", "syncnet", "styletalk"]
FACELESS: Final = ("pixels", "inception", "i3d")  # these look at no face


@dataclass(frozen=True, eq=False)
class Pair:
    """A generated video and what it is compared with.

    Attributes:
        video: what is judged.
        truth: the video of the same name in the reference folder; None where there is none.
        pixels: comparison of their frames, or in words why there is none.
        siblings: other videos of the same input, made with other samples of the style.
        emotion: what the truth is labelled with; None when nobody said.
        centroids: the style of each emotion in the shipped gallery.
    """

    video: VideoFacts
    truth: VideoFacts | None = None
    pixels: PixelFacts | str = NO_TRUTH
    siblings: Sequence[VideoFacts] = ()
    emotion: str | None = None
    centroids: Mapping[str, StylePrior] = field(default_factory=dict)

    @property
    def true(self) -> VideoFacts:
        """The truth.

        Raises:
            Unmeasurable: there is none.
        """
        if self.truth is None:
            raise Unmeasurable(NO_TRUTH)
        return self.truth

    @property
    def compared(self) -> PixelFacts:
        """The comparison of the frames.

        Raises:
            Unmeasurable: there is none.
        """
        if isinstance(self.pixels, str):
            raise Unmeasurable(self.pixels)
        return self.pixels

    @property
    def shared_frames(self) -> int:
        """Frames that video and truth both have."""
        return min(len(self.video), len(self.true))


@dataclass(frozen=True)
class About:
    """What a report prints of a metric.

    Attributes:
        name: as in `--metrics` and in the JSON report.
        title: for people.
        unit: of the figure, "" without one.
        better: which direction is good.
        uses: what measures it: the pixels alone, landmarks and face model, these and the style encoder,
            these and the face embedding; or a published network, see `networks.py`.
        source: where the definition comes from.
        pitfalls: what the figure does not say, and what moves it besides quality.
    """

    name: str
    title: str
    unit: str
    better: Better
    uses: Uses
    source: str
    pitfalls: str


@dataclass(frozen=True)
class Metric:
    """A figure per clip.

    Attributes:
        about: what a report prints.
        measure: the figure of a pair; raises Unmeasurable with the reason.
        parts: a figure per part (per unit of the face, say), by name.
        framewise: the video is laid over the truth frame by frame; only frames that both have count.
    """

    about: About
    measure: Callable[[Pair], float]
    parts: Callable[[Pair], Mapping[str, float]] | None = None
    framewise: bool = False


@dataclass(frozen=True)
class CurveMetric:
    """A figure per second of a clip; that of the last second stands for the clip.

    Attributes:
        about: what a report prints.
        curve: of a pair (S,), at least one second; raises Unmeasurable with the reason.
    """

    about: About
    curve: Callable[[Pair], np.ndarray]


@dataclass(frozen=True)
class SetMetric:
    """A figure for a whole set of videos against a set of real ones.

    Attributes:
        about: what a report prints.
        features: of one video (N, D); raises Unmeasurable with the reason.
        distance: between the features of two sets.
        least_clips: of fewer clips the figure means little, and the report says so; so it does of D vectors or fewer.
    """

    about: About
    features: Callable[[VideoFacts], np.ndarray]
    distance: Callable[[np.ndarray, np.ndarray], float]
    least_clips: int


AnyMetric = Metric | CurveMetric | SetMetric
