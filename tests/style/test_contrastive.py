"""Eq. 6 and 7 against a naive loop, and what the objective must prefer."""

import pytest
import torch

from contrastive_loop import contrastive_loop
from svp.style.contrastive import contrastive_loss, similarity


@pytest.mark.parametrize("tau", [0.07, 1.0])
def test_the_loss_is_equations_6_and_7_written_as_loops(tau: float) -> None:
    generator = torch.Generator().manual_seed(1)
    styles = torch.randn(9, 6, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 5])  # the last one is a negative only
    assert float(contrastive_loss(styles, labels, tau)) == pytest.approx(
        contrastive_loop(styles, labels, tau), abs=1e-12
    )


def test_similarity_is_one_at_zero_distance_and_falls() -> None:
    points = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    torch.testing.assert_close(similarity(points, points), torch.tensor([[1.0, 1 / 6], [1 / 6, 1.0]]))


def test_gradients_are_finite_for_equal_samples() -> None:
    styles = torch.zeros(4, 3, requires_grad=True)
    contrastive_loss(styles, torch.tensor([0, 0, 1, 1]), 0.1).backward()
    assert torch.isfinite(styles.grad).all()


def test_descending_pulls_equal_labels_together() -> None:
    generator = torch.Generator().manual_seed(2)
    styles = torch.randn(8, 4, generator=generator, requires_grad=True)
    labels = torch.tensor([0, 1] * 4)
    same = labels[:, None] == labels[None]
    before = similarity(styles, styles).detach()
    for _ in range(60):
        (gradient,) = torch.autograd.grad(contrastive_loss(styles, labels, 0.1), styles)
        styles = (styles - 2.0 * gradient).detach().requires_grad_()
    after = similarity(styles, styles).detach()
    assert after[same].mean() > before[same].mean() and after[~same].mean() < before[~same].mean()


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_a_batch_without_positives_or_negatives_is_an_error(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="P groups x K clips"):
        contrastive_loss(torch.randn(3, 2), torch.tensor(labels), 0.1)
