"""The convolution for small grids is torch's, by another way and only where it pays."""

from collections import Counter

import pytest
import torch
from tiny_denoiser import tiny_denoiser, tiny_inputs
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from svp.diffusion import feed_forward
from svp.diffusion.convolution import Conv2d, share_convolutions
from svp.diffusion.place import as_on_card


class Called(TorchDispatchMode):
    """How often each operation ran."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names[func._overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def both(layer: Conv2d, pictures: Tensor) -> tuple[Tensor, Tensor, set[str]]:
    """Ours, torch's, and what ran for ours."""
    with Called() as called:
        ours = layer(pictures)
    return ours, nn.Conv2d.forward(layer, pictures), set(called.names)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (1, 1, 0), (3, 1, 0)])
@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (8, 3)])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@torch.no_grad()
def test_small_grids_are_one_product(
    kernel: int, stride: int, padding: int, grid: tuple[int, int], memory_format: torch.memory_format
) -> None:
    torch.manual_seed(0)
    layer = Conv2d(6, 80, kernel, stride, padding, dtype=torch.float64).to(memory_format=memory_format)
    pictures = torch.randn(2, 6, *grid, dtype=torch.float64).contiguous(memory_format=memory_format)
    ours, reference, names = both(layer, pictures)
    assert ours.shape == reference.shape
    torch.testing.assert_close(ours, reference, rtol=0, atol=1e-12)
    assert "convolution" not in names
    assert ours.is_contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def test_large_grids_are_torch_s() -> None:
    layer = Conv2d(6, 31, 3, padding=1)
    ours, reference, names = both(layer, torch.randn(2, 6, 4, 4))  # 32 places, 31 channels
    assert torch.equal(ours, reference)
    assert names == {"convolution"}  # nothing is copied in vain


@torch.no_grad()
def test_half_precision_is_torch_s() -> None:
    layer, pictures = Conv2d(6, 80, 3, padding=1), torch.randn(1, 6, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        ours, reference, names = both(layer, pictures)
    assert torch.equal(ours, reference) and "convolution" in names
    ours, reference, names = both(layer.bfloat16(), pictures.bfloat16())
    assert torch.equal(ours, reference) and names == {"convolution"}


@torch.no_grad()
def test_a_plan_for_a_card_counts_a_card_s_way() -> None:
    layer, pictures = Conv2d(6, 80, 3, padding=1), torch.randn(1, 6, 4, 4)
    with as_on_card(True):
        assert both(layer, pictures)[2] == {"convolution"}
    with as_on_card(False):
        assert "convolution" not in both(layer, pictures)[2]


@torch.no_grad()
def test_networks_that_take_our_ways_compute_what_they_would_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_forward, "FRESH_BYTES", 0)
    monkeypatch.setattr(feed_forward, "ROWS", 16)
    denoiser, inputs = tiny_denoiser(), tiny_inputs(batch=1)
    latents = torch.randn(1, 4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    results, ran = [], []
    for plain in (False, True):
        with as_on_card(plain), Called() as called:
            results.append(denoiser(latents, 400, denoiser.encode(**inputs)))
        ran.append(called.names)
    torch.testing.assert_close(*results, rtol=0, atol=1e-5)
    ours, torch_s = ran
    assert ours["convolution"] < torch_s["convolution"]  # 12 places in the deepest level, 24 channels
    assert ours["gelu"] > torch_s["gelu"]  # one for every piece


def test_training_is_torch_s() -> None:
    layer = Conv2d(6, 80, 3, padding=1)
    ours, reference, names = both(layer, torch.randn(1, 6, 4, 4))
    assert torch.equal(ours, reference)
    assert "convolution" in names
    ours.sum().backward()
    assert layer.weight.grad is not None


def test_sharing_keeps_the_parameters_and_draws_nothing() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.SiLU(), nn.Conv2d(4, 90, 1, bias=False))
    pictures = torch.randn(1, 3, 6, 6)
    expected, parameters, before = module(pictures), list(module.parameters()), torch.get_rng_state()
    share_convolutions(module)
    assert torch.equal(before, torch.get_rng_state())
    assert [type(layer) for layer in module] == [Conv2d, nn.SiLU, Conv2d]
    assert all(a is b for a, b in zip(module.parameters(), parameters, strict=True))
    assert torch.equal(module(pictures), expected)
