"""Where the time of an evaluation of the UNet goes, by kind of layer."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from svp.diffusion.motion_module import MotionModule
from svp.diffusion.unet import DenoisingBlock, DenoisingUNet

REST = "the rest"  # convolutions between levels, norms and projections of the transformers


def timed_layers(unet: DenoisingUNet) -> Iterator[tuple[str, nn.Module, str]]:
    """Kind, module and the method to time; none lies within another."""
    for module in unet.modules():
        if isinstance(module, ResnetBlock2D):
            yield "resnets", module, "forward"
        elif isinstance(module, MotionModule):
            yield "motion modules", module, "forward"
        elif isinstance(module, DenoisingBlock):
            yield "self-attention", module.attn1, "forward"
            yield "reference attention", module.attn1_5, "attend"
            yield "audio attention", module.attn2, "attend"
            yield "style attention", module.attn_style, "attend"
            yield "feed-forward", module.ff, "forward"


@contextmanager
def watch_layers(unet: DenoisingUNet) -> Iterator[Counter[str]]:
    """Fills with the seconds that each kind of layer takes while it is open."""
    taken: Counter[str] = Counter()
    layers = list(timed_layers(unet))

    def watched(kind: str, run: Callable[..., object]) -> Callable[..., object]:
        def call(*inputs: object) -> object:
            begin = time.perf_counter()
            result = run(*inputs)
            taken[kind] += time.perf_counter() - begin
            return result

        return call

    for kind, module, method in layers:
        setattr(module, method, watched(kind, getattr(module, method)))
    yield taken
    for _, module, method in layers:
        delattr(module, method)


def print_layers(unet: DenoisingUNet, evaluate: Callable[[], object]) -> None:
    """One evaluation, by kind of layer in per cent, the largest first."""
    with watch_layers(unet) as taken:
        begin = time.perf_counter()
        evaluate()
        whole = time.perf_counter() - begin
    taken[REST] = whole - taken.total()
    shares = ", ".join(f"{kind} {100 * seconds / whole:.0f} %" for kind, seconds in taken.most_common())
    print(f"      of an evaluation: {shares}")
