"""How well the styles of one person fall apart by emotion (paper Sec. 4.4, Eq. 8, Table 3).

Shapes: B codes, D channels of the style space.
"""

from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

Label = TypeVar("Label", bound=Hashable)


def clustering_strength(codes: ArrayLike, labels: Sequence[Label]) -> dict[Label, float]:
    """d_cls = d_inter / d_intra (Eq. 8) per label.

    The paper does not say between what the distances are taken. Here d_inter is the mean Euclidean distance of a
    label's codes from the codes of all other labels, d_intra the mean distance of its codes from each other: both over
    pairs, so that 1 means that the label says nothing, whatever the number of codes.

    Args:
        codes: (B, D) means mu of the styles of one identity.
        labels: B emotions.

    Returns:
        By label, in order of first appearance; labels of fewer than two codes are left out. Infinite where a label's
        codes are all alike.

    Raises:
        ValueError: the numbers of codes and labels differ, or there is only one label.
    """
    points = np.asarray(codes, np.float64)
    if points.ndim != 2 or len(points) != len(labels):
        raise ValueError(f"expected codes (B, D) and B labels, got {points.shape} and {len(labels)}")
    names = list(dict.fromkeys(labels))
    if len(names) < 2:
        raise ValueError("clustering strength compares labels; give codes of two or more")
    distances = cdist(points, points)
    strengths = {}
    for name in names:
        own = np.array([label == name for label in labels])
        count = int(own.sum())
        if count < 2:
            continue
        inter = float(distances[np.ix_(own, ~own)].mean())
        intra = float(distances[np.ix_(own, own)].sum()) / (count * (count - 1))
        strengths[name] = inter / intra if intra > 0 else float("inf")
    return strengths
