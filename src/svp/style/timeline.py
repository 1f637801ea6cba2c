"""Styles over time: one after the other within a video, blended where they change.

Shapes: K styles, F frames, D channels of the style space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from svp.errors import InputError
from svp.media.video import FPS
from svp.style.cues import Cue, need_within
from svp.style.encoder import deviation
from svp.style.prior import StylePrior

BLEND_SECONDS = 0.5


@dataclass(frozen=True, eq=False)
class StyleTimeline:
    """Which style holds from when on.

    At its time a style begins to replace what was before, linearly in mean and variance; half a second later it holds
    alone. One eps serves the whole video (Eq. 4), so that nothing but the styles changes.

    Attributes:
        seconds: K times from the start of the video, increasing; the first style holds from the start on.
        styles: K styles of one encoder.
    """

    seconds: tuple[float, ...]
    styles: tuple[StylePrior, ...]

    def __post_init__(self) -> None:
        if not self.styles or len(self.seconds) != len(self.styles):
            raise InputError("style timeline: give one time for each style, and at least one style")
        if any(later <= earlier for earlier, later in zip(self.seconds, self.seconds[1:], strict=False)):
            times = ", ".join(f"{second:g}" for second in self.seconds)
            raise InputError(f"style timeline: times {times} do not increase; give each style its own time, in order")
        foreign = [style.name for style in self.styles if style.encoder != self.styles[0].encoder]
        if foreign:
            raise InputError(
                f"style {foreign[0]}: made by another encoder than {self.styles[0].name}; extract both with one model"
            )

    @property
    def name(self) -> str:
        """What a person calls it."""
        return ", ".join(f"{style.name}@{second:g}" for second, style in zip(self.seconds, self.styles, strict=True))

    def scale(self, strength: float) -> StyleTimeline:
        """All styles at strength k, see `StylePrior.scale`."""
        return replace(self, styles=tuple(style.scale(strength) for style in self.styles))

    def need_seconds(self, seconds: float) -> None:
        """Raise InputError unless every style begins within a video of this length."""
        for at, style in zip(self.seconds, self.styles, strict=True):
            need_within(style.name, at, seconds)

    def weights(self, start: int, stop: int) -> Tensor:
        """Share of each style in the frames start … stop - 1, (F, K); rows sum to 1."""
        time_F = torch.arange(start, stop, dtype=torch.float64) / FPS
        weights_FK = torch.zeros(len(time_F), len(self.styles), dtype=torch.float64)
        weights_FK[:, 0] = 1.0
        for k, second in enumerate(self.seconds[1:], 1):
            come_F1 = ((time_F - second) / BLEND_SECONDS).clamp(0.0, 1.0)[:, None]
            weights_FK = (1 - come_F1) * weights_FK
            weights_FK[:, k : k + 1] += come_F1
        return weights_FK.float()

    def at(self, noise: Tensor, start: int, stop: int) -> Tensor:
        """The style s = mu + sigma * eps (Eq. 4) of the frames start … stop - 1, (F, D), for a given eps (D,)."""
        weights_FK = self.weights(start, stop)
        mean_FD = weights_FK @ torch.stack([style.mean for style in self.styles])
        variance_FD = weights_FK @ torch.stack([style.variance for style in self.styles])
        return mean_FD + deviation(variance_FD) * noise


def style_over_time(
    cues: Sequence[Cue], load: Callable[[Path], StylePrior], strength: float = 1.0
) -> StylePrior | StyleTimeline | None:
    """What cues say: one style as it is, several as a timeline; None without any.

    Args:
        cues: in order of their times, see `read_cues`.
        load: the style of a cue's file, such as `SVPPipeline.style`.
        strength: of all, beside that of each.
    """
    if not cues:
        return None
    styles = tuple(load(cue.path).scale(cue.strength) for cue in cues)
    style = styles[0] if len(styles) == 1 else StyleTimeline(tuple(cue.seconds for cue in cues), styles)
    return style.scale(strength)
