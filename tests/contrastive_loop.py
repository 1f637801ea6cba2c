"""Eq. 6 and 7 written as loops, for comparison."""

import math

from torch import Tensor


def contrastive_loop(styles: Tensor, labels: Tensor, tau: float) -> float:
    """Mean over all (anchor, positive) pairs of -log(w+ / (w+ + sum w-)), w = exp(zeta / tau)."""

    def omega(a: int, b: int) -> float:
        distance = math.sqrt(sum((float(x) - float(y)) ** 2 for x, y in zip(styles[a], styles[b], strict=True)))
        return math.exp(1.0 / (distance + 1.0) / tau)

    terms = []
    for anchor in range(len(labels)):
        negatives = sum(omega(anchor, n) for n in range(len(labels)) if labels[n] != labels[anchor])
        for positive in range(len(labels)):
            if positive != anchor and labels[positive] == labels[anchor]:
                weight = omega(anchor, positive)
                terms.append(-math.log(weight / (weight + negatives)))
    return sum(terms) / len(terms)
