"""Whether the emotion is recognised: the nearest style of the gallery is that of the label."""

import numpy as np
from torch import linalg

from svp.evaluation.facts import Unmeasurable
from svp.evaluation.metric import About, Metric, Pair


def nearest_emotion(pair: Pair) -> str:
    """The emotion of the gallery whose style lies nearest (Euclidean distance of the mean codes)."""
    code = pair.video.learned_style.mean
    emotions = sorted(pair.centroids)
    return emotions[int(np.argmin([float(linalg.norm(pair.centroids[e].mean - code)) for e in emotions]))]


def measure(pair: Pair) -> float:
    """1 if the nearest emotion is the label's, else 0.

    Raises:
        Unmeasurable: the clip has no label, or one that the gallery does not know.
    """
    if pair.emotion is None:
        raise Unmeasurable("no emotion known: neither a prepared dataset nor clips.csv names one")
    if pair.emotion not in pair.centroids:
        known = ", ".join(sorted(pair.centroids)) or "none of this encoder"
        raise Unmeasurable(f"emotion {pair.emotion}: not in the gallery ({known})")
    return float(nearest_emotion(pair) == pair.emotion)


EMOTION_ACCURACY = Metric(
    About(
        "emotion_accuracy", "emotion recognised", "share of clips", "higher", "style",
        "nearest centroid of the shipped gallery (mean of an emotion's levels) in the space of the style encoder",
        "Judged by the encoder that the model was trained with, not by people. Chance is 1/8. The gallery was made of "
        "puppets: read the truth's own share on real clips first.",
    ),
    measure,
)  # fmt: skip
