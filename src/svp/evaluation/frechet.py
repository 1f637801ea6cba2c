"""Frechet distance between two sets of features, the arithmetic behind FID and FVD, and that of expressions.

Shapes: N feature vectors of D channels.
"""

from typing import Final

import numpy as np

from svp.evaluation.facts import VideoFacts
from svp.evaluation.metric import About, SetMetric

CHUNK: Final = 16_384  # vectors that are held in float64 at a time


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """|mean_a - mean_b|^2 + trace(S_a + S_b - 2 (S_a S_b)^(1/2)) with covariances S over N - 1 (Heusel et al. 2017).

    Args:
        a, b: features (N, D), any number of rows from 2 on, as floats of any size; computed in float64.

    Raises:
        ValueError: shapes do not fit, or values are not finite.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"expected features (N, D) of at least two vectors each, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("features must be finite")
    # With S = R^T R the roots of the eigenvalues of S_a S_b are the singular values of R_a R_b^T, which are real in any
    # case, and few where there are few vectors.
    (mean_a, root_a), (mean_b, root_b) = _moments(a), _moments(b)
    shared = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    apart = ((mean_a - mean_b) ** 2).sum()
    return max(float(apart + (root_a**2).sum() + (root_b**2).sum() - 2 * shared), 0.0)


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) of vectors (N, D), and R (at most D rows) with R^T R = their covariance; a chunk after the other."""
    mean = x.mean(axis=0, dtype=np.float64)
    root = np.zeros((0, x.shape[1]))
    for start in range(0, len(x), CHUNK):
        root = np.asarray(np.linalg.qr(np.vstack([root, x[start : start + CHUNK] - mean]), mode="r"))
    return mean, root / np.sqrt(len(x) - 1)


def expression_features(video: VideoFacts) -> np.ndarray:
    """beta of all frames (N, 52)."""
    return video.seen_face.fit.expression


FRECHET_EXPRESSION = SetMetric(
    About(
        "frechet_expression", "Frechet distance of expressions", "", "lower", "face",
        "Frechet distance (Heusel et al. 2017) between beta of all frames of both sets (52 ARKit units)",
        "Says whether the same expressions occur, not when. Falls with the number of clips: compare with the "
        "real-against-real floor of the same number.",
    ),
    expression_features,
    frechet_distance,
    least_clips=20,
)  # fmt: skip
