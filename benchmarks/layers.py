"""Where an evaluation of the UNet spends its time and its FLOP, by kind of layer."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from svp.diffusion.motion_module import MotionModule
from svp.diffusion.unet import DenoisingBlock, DenoisingUNet

REST = "the rest"  # convolutions between levels, norms and projections of the transformers


def kinds_of_layers(unet: DenoisingUNet) -> Iterator[tuple[str, nn.Module, str]]:
    """Kind, module and the method to watch; none lies within another."""
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
def watch_layers(unet: DenoisingUNet, reading: Callable[[], float]) -> Iterator[Counter[str]]:
    """Fills with what each kind of layer and the rest add to a reading, seconds or FLOP, while it is open."""
    taken: Counter[str] = Counter()
    layers = list(kinds_of_layers(unet))

    def watched(kind: str, run: Callable[..., object]) -> Callable[..., object]:
        def call(*inputs: object) -> object:
            begin = reading()
            result = run(*inputs)
            taken[kind] += reading() - begin
            return result

        return call

    for kind, module, method in layers:
        setattr(module, method, watched(kind, getattr(module, method)))
    begin = reading()
    yield taken
    taken[REST] = reading() - begin - taken.total()
    for _, module, method in layers:
        delattr(module, method)


def print_layers(taken: Counter[str], flop: Counter[str]) -> None:
    """Seconds and FLOP of an evaluation by kind of layer, the longest first."""
    shares = (
        f"{kind} {100 * seconds / taken.total():.0f} % ({flop[kind] / seconds / 1e9:.0f} GFLOP/s)"
        for kind, seconds in taken.most_common()
    )
    print(f"    of an evaluation: {', '.join(shares)}", flush=True)
