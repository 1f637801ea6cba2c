"""Contrastive objective on sampled styles (paper Sec. 3.3, Eq. 6 and 7).

Shapes: B samples, D channels of the style space.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def similarity(a_BD: Tensor, b_KD: Tensor) -> Tensor:
    """zeta(a, b) = 1 / (||a - b||_2 + 1) for every pair, (B, K), in (0, 1] (below Eq. 7)."""
    # Differences, not the matrix-product shortcut: it loses the small distances this objective is about.
    return 1.0 / (torch.cdist(a_BD, b_KD, compute_mode="donot_use_mm_for_euclid_dist") + 1.0)


def contrastive_loss(styles_BD: Tensor, labels_B: Tensor, temperature: float) -> Tensor:
    """InfoNCE over zeta / tau (Eq. 6 and 7), averaged over all (anchor, positive) pairs.

    Each pair has its own term; the denominator holds that positive and the anchor's negatives, never the anchor's
    other positives.

    Args:
        styles_BD: sampled styles s (Eq. 4).
        labels_B: integers; equal labels are positives (same identity and emotion, or same video).
        temperature: tau > 0.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        ValueError: if no two samples share a label, or all do.
    """
    same_BB = labels_B[:, None] == labels_B[None, :]
    positive_BB = same_BB & ~torch.eye(len(labels_B), dtype=torch.bool, device=labels_B.device)
    if not positive_BB.any() or same_BB.all():
        raise ValueError("a batch needs two samples of one label and two labels; draw P groups x K clips, P, K >= 2")
    logits_BB = similarity(styles_BD, styles_BD) / temperature
    negatives_B1 = logits_BB.masked_fill(same_BB, -torch.inf).logsumexp(dim=1, keepdim=True)
    # -log(w+ / (w+ + sum w-)) = log(1 + exp(log sum w- - log w+))
    return F.softplus(negatives_B1 - logits_BB)[positive_BB].mean()
