"""Whether the clip with the nearest style shows the same emotion, though another person speaks it.

Shapes: B clips, D channels of a code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist


@dataclass(frozen=True, eq=False)
class Retrieval:
    """What the nearest neighbours say, clip by clip; NaN for a clip that has no candidate.

    Attributes:
        right: (B,) 1 where the nearest candidate has the clip's emotion, else 0.
        chance: (B,) the share of all candidates that have it: what a random one would score.
    """

    right: np.ndarray
    chance: np.ndarray


def retrieve_emotions(
    codes: ArrayLike, emotions: Sequence[str], identities: Sequence[str], recordings: Sequence[str]
) -> Retrieval:
    """The nearest neighbour by Euclidean distance among the clips of other identities.

    Clips with the same recording are no candidates either: the same sound on two faces would be found by its words.

    Args:
        codes: (B, D).
        emotions, identities, recordings: of the B clips.

    Raises:
        ValueError: the numbers of codes and labels differ.
    """
    points = np.asarray(codes, np.float64)
    count = len(points)
    if points.ndim != 2 or {len(emotions), len(identities), len(recordings)} != {count}:
        raise ValueError(f"expected codes (B, D) and B labels of each kind, got {points.shape} and {len(emotions)}")
    same_emotion, same_identity, same_recording = (
        np.equal.outer(values, values) for values in map(np.asarray, (emotions, identities, recordings))
    )
    if not count:
        return Retrieval(np.zeros(0), np.zeros(0))
    candidate_BB = ~same_identity & ~same_recording
    nearest_B = np.where(candidate_BB, cdist(points, points), np.inf).argmin(axis=1)
    candidates_B = candidate_BB.sum(axis=1)
    right = same_emotion[np.arange(count), nearest_B].astype(float)
    chance = (same_emotion & candidate_BB).sum(axis=1) / np.maximum(candidates_B, 1)
    return Retrieval(np.where(candidates_B > 0, right, np.nan), np.where(candidates_B > 0, chance, np.nan))
