"""Whether a stronger emotion lies farther from neutral in the style space (paper Sec. 4.4, Fig. 5).

Shapes: B clips, D channels of a code.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from svp.datasets.manifest import NEUTRAL


def neutral_distances(
    codes: ArrayLike, emotions: Sequence[str], identities: Sequence[str], neutral: ArrayLike | None = None
) -> np.ndarray:
    """Euclidean distance (B,) of every code from the neutral one of its identity.

    The neutral code is the mean over the identity's own neutral clips; without any, `neutral`.

    Args:
        codes: (B, D).
        emotions, identities: of the B clips.
        neutral: the encoder's neutral code (D,); None makes the distances of an identity without neutral clips NaN.
    """
    points = np.asarray(codes, np.float64)
    distances = np.full(len(points), np.nan)
    is_neutral = np.array([emotion == NEUTRAL for emotion in emotions], bool)
    for identity in set(identities):
        own = np.array([name == identity for name in identities])
        if (own & is_neutral).any():
            centre_D = points[own & is_neutral].mean(0)
        elif neutral is not None:
            centre_D = np.asarray(neutral, np.float64)
        else:
            continue
        distances[own] = np.linalg.norm(points[own] - centre_D, axis=1)
    return distances


def rank_correlation(distances: ArrayLike, intensities: ArrayLike) -> float:
    """Spearman's correlation over the clips whose distance and level are known (not NaN, not 0).

    NaN where they have fewer than two levels, or all one distance.
    """
    x, y = np.asarray(distances, np.float64), np.asarray(intensities, np.float64)
    known = np.isfinite(x) & (y > 0)
    x, y = rankdata(x[known]), rankdata(y[known])
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def correlations_by_identity(
    distances: ArrayLike, intensities: ArrayLike, emotions: Sequence[str], identities: Sequence[str]
) -> dict[tuple[str, str], float]:
    """`rank_correlation` by (identity, emotion), where a person shows the emotion in two or more levels."""
    x, y = np.asarray(distances, np.float64), np.asarray(intensities, np.float64)
    places: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for k, key in enumerate(zip(identities, emotions, strict=True)):
        places[key].append(k)
    found = {key: rank_correlation(x[own], y[own]) for key, own in places.items() if key[1] != NEUTRAL}
    return {key: value for key, value in found.items() if np.isfinite(value)}
