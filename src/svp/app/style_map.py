"""The gallery as a map: like styles lie together, and a click finds the nearest.

Shapes: K styles.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from svp.style.map import SHADES, SIZES, emotion_colours, in_order, project, rendered, shade
from svp.style.prior import StylePrior

TITLE = "Click to choose a style; near ones are alike"
RING = 13  # pixels, radius of the mark about the chosen style


class StyleMap:
    """A picture of styles and the place of each in it; text and dots are large enough for a phone.

    Args:
        gallery: FEWEST styles of `svp.style.map` or more, by name and level as in happy:2.

    Attributes:
        picture: (H, W, 3) uint8 RGB.
        places: pixels from the left and from above, by name.
    """

    def __init__(self, gallery: Mapping[str, StylePrior]) -> None:
        points_K2 = project(np.stack([style.mean.numpy() for style in gallery.values()]), seed=0)
        labels = [(emotion, int(level)) for emotion, _, level in (name.partition(":") for name in gallery)]
        colours = emotion_colours(in_order({emotion for emotion, _ in labels}))
        figure = Figure(figsize=(4.4, 3.6), dpi=160)
        axes = figure.subplots()
        axes.scatter(
            points_K2[:, 0],
            points_K2[:, 1],
            s=[2 * SIZES[level] for _, level in labels],
            c=[shade(colours[emotion], SHADES[level]) for emotion, level in labels],
        )
        for emotion, colour in colours.items():
            strongest = max((k for k, label in enumerate(labels) if label[0] == emotion), key=lambda k: labels[k][1])
            x, y = points_K2[strongest].tolist()
            axes.annotate(
                emotion, (x, y), xytext=(0, 7), textcoords="offset points", ha="center", color=colour, fontsize=9
            )
        axes.margins(0.14, 0.12)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color("0.85")
        axes.set_title(TITLE, fontsize=9)
        figure.set_layout_engine("constrained")
        self.picture = rendered(figure)
        places_K2 = axes.transData.transform(points_K2)
        places_K2[:, 1] = len(self.picture) - places_K2[:, 1]  # matplotlib counts from below
        self.places = dict(zip(gallery, places_K2, strict=True))

    def nearest(self, x: float, y: float) -> str:
        """The style nearest to a pixel."""
        return min(self.places, key=lambda name: float(np.hypot(*(self.places[name] - (x, y)))))

    def marked(self, name: str) -> np.ndarray:
        """The picture with a ring about a style; without one if it is not on the map."""
        if name not in self.places:
            return self.picture
        picture = Image.fromarray(self.picture)
        x, y = self.places[name]
        ImageDraw.Draw(picture).ellipse((x - RING, y - RING, x + RING, y + RING), outline="black", width=3)
        return np.asarray(picture)
