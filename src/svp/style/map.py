"""A picture of styles: t-SNE lays similar ones near each other (paper Fig. 5).

Shapes: B clips, D channels of the style space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from svp.datasets.manifest import ClipRow

FEWEST: Final = 5  # clips that have neighbours to speak of
PERPLEXITY: Final = 30.0  # neighbours that count, at most a third of the clips
COLOURS: Final[Mapping[str, str]] = {
    "neutral": "#7f7f7f", "angry": "#d62728", "contempt": "#8c564b", "disgusted": "#2ca02c", "fear": "#9467bd",
    "happy": "#ff9f0e", "sad": "#1f77b4", "surprised": "#e377c2",
}  # fmt: skip
OTHER_COLOURS: Final = ("#17becf", "#bcbd22", "#393b79", "#637939", "#843c39", "#7b4173")
SHADES: Final = {0: 0.8, 1: 0.35, 2: 0.65, 3: 1.0}  # share of the colour by intensity; 0: neutral, or level unknown
SIZES: Final = {0: 26.0, 1: 18.0, 2: 30.0, 3: 46.0}  # of the markers, square points


def project(codes: ArrayLike, seed: int) -> np.ndarray:
    """t-SNE coordinates (B, 2) of codes (B, D); the same for the same seed.

    Raises:
        ValueError: there are fewer than FEWEST codes.
    """
    points = np.asarray(codes, np.float64)
    if len(points) < FEWEST:
        raise ValueError(f"{len(points)} codes; a map needs {FEWEST}")
    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    with threadpool_limits(1):
        return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)


def draw_map(points_B2: np.ndarray, rows: Sequence[ClipRow], title: str) -> Figure:
    """A dot per clip: the colour is its emotion, darker and larger with the intensity, as in the paper's figure."""
    emotions = in_order({row.emotion for row in rows})
    colours = emotion_colours(emotions)
    levels = sorted({row.intensity for row in rows} - {0})
    figure = Figure(figsize=(7.2, 5.2), dpi=150)
    axes = figure.subplots()
    order = sorted(range(len(rows)), key=lambda k: rows[k].intensity)  # strong ones on top
    axes.scatter(
        points_B2[order, 0],
        points_B2[order, 1],
        s=[SIZES[rows[k].intensity] for k in order],
        c=[shade(colours[rows[k].emotion], SHADES[rows[k].intensity]) for k in order],
        edgecolors="white",
        linewidths=0.4,
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("0.85")
    axes.set_title(title, fontsize=10)
    count = {emotion: sum(row.emotion == emotion for row in rows) for emotion in emotions}
    dots = [_dot(colours[emotion], 6.5, f"{emotion} ({count[emotion]})") for emotion in emotions]
    dots += [_dot(shade("#000000", SHADES[k]), SIZES[k] ** 0.5, f"intensity {k}") for k in levels]
    axes.legend(handles=dots, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    figure.set_layout_engine("constrained")
    return figure


def in_order(emotions: set[str]) -> list[str]:
    """Emotions in the order in which they are shown: neutral, then those of MEAD, then others by name."""
    known = list(COLOURS)
    return sorted(emotions, key=lambda name: (known.index(name) if name in known else len(known), name))


def emotion_colours(emotions: Sequence[str]) -> dict[str, str]:
    """A colour of every emotion; beyond MEAD's they repeat after some."""
    others = [name for name in emotions if name not in COLOURS]
    return {name: COLOURS.get(name) or OTHER_COLOURS[others.index(name) % len(OTHER_COLOURS)] for name in emotions}


def rendered(figure: Figure) -> np.ndarray:
    """The pixels of a figure, (H, W, 3) uint8 RGB."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def shade(colour: str, share: float) -> tuple[float, float, float]:
    """A colour of which only a share is left, the rest is white; red, green, blue in [0, 1]."""
    red, green, blue = (1 - share * (1 - value) for value in to_rgb(colour))
    return red, green, blue


def _dot(colour: str | tuple[float, float, float], size: float, label: str) -> Line2D:
    return Line2D([], [], linestyle="", marker="o", color=colour, markersize=size, markeredgecolor="white", label=label)
