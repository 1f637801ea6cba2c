"""The feed-forward layer in pieces is the layer as a whole."""

import pytest
import torch
from torch import Tensor

from svp.diffusion import feed_forward
from svp.diffusion.dry_run import StepMeter
from svp.diffusion.feed_forward import FeedForward


def peak(layer: FeedForward, tokens: Tensor) -> tuple[Tensor, int]:
    """The result, and the most bytes that were held on the way to it."""
    with StepMeter([tokens, *layer.parameters()]) as meter:
        result = layer(tokens)
    return result, meter.peak


@torch.no_grad()
def test_pieces_are_the_whole_with_less_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer, tokens = FeedForward(16).double(), torch.randn(3, 200, 16, dtype=torch.float64)
    whole, most = peak(layer, tokens)
    monkeypatch.setattr(feed_forward, "ROWS", 64)
    monkeypatch.setattr(feed_forward, "FRESH_BYTES", 0)
    pieces, less = peak(layer, tokens)
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-13)
    assert less < most / 2


def test_training_has_no_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_forward, "FRESH_BYTES", 0)
    monkeypatch.setattr(feed_forward, "ROWS", 0)  # a piece of no tokens is an error
    FeedForward(8)(torch.randn(2, 5, 8)).sum().backward()
