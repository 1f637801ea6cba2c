"""How near the networks come to what the processor can do: FLOP of a step, their rate as a share of a large matrix
product's, time per part and per kind of layer, peak memory. `base` has random weights and few, small frames.

A machine's speed drifts: the product runs after every block of the networks, and its time is not counted as theirs.
"""

import multiprocessing
import statistics
import time

import torch
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from benchmarks.cost import CONDITIONAL, DECODING, REFERENCE, UNCONDITIONAL, count_flop, count_layers, filled, parts
from benchmarks.layers import print_layers, watch_layers
from benchmarks.memory import peak_memory
from svp.diffusion.motion_module import MotionModule
from svp.diffusion.sampling_plan import has_fast_bf16
from svp.diffusion.unet import DenoisingBlock
from svp.presets import BASE, MINI, PRESETS

SIZES = {MINI.name: (MINI.window, MINI.image_size), BASE.name: (2, 256)}  # frames, pixels
ROUNDS = {MINI.name: 7, BASE.name: 1}
SIDE = 2048  # of the matrices: 17 GFLOP
BLOCKS = (ResnetBlock2D, MotionModule, DenoisingBlock)
MEASURED = (REFERENCE, CONDITIONAL, UNCONDITIONAL, DECODING)
CPU = torch.device("cpu")


class Stopwatch:
    """Seconds, without those of the matrix products that run after blocks of networks."""

    def __init__(self, dtype: torch.dtype, *networks: nn.Module) -> None:
        self.products: list[float] = []
        self._matrix = torch.ones(SIDE, SIDE, dtype=dtype)
        self._hooks = [
            module.register_forward_hook(lambda *_: self._multiply())
            for network in networks
            for module in network.modules()
            if isinstance(module, BLOCKS)
        ]

    def __call__(self) -> float:
        return time.perf_counter() - sum(self.products)

    def _multiply(self) -> None:
        begin = time.perf_counter()
        self._matrix @ self._matrix
        self.products.append(time.perf_counter() - begin)

    def limit(self) -> float:
        """FLOP per second of the median product; the next ones count anew."""
        median = statistics.median(self.products)
        self.products.clear()
        return 2 * SIDE**3 / median

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()


@torch.no_grad()
def measure(name: str, dtype: torch.dtype) -> None:
    """Print everything about a preset; in a process of its own, whose peak memory is its own."""
    preset, (frames, size) = PRESETS[name], SIZES[name]
    counted, layers = count_flop(preset, frames, size), count_layers(preset, frames, size)
    step = counted[CONDITIONAL] + counted[UNCONDITIONAL]
    print(f"  {name}, {frames} frames of {size} x {size}, {str(dtype).removeprefix('torch.')}: "
          f"{step / 1e12:.3g} TFLOP per guided step", flush=True)  # fmt: skip
    pipeline = filled(preset)
    runs = parts(pipeline, preset, frames, size)
    watch = Stopwatch(dtype, pipeline.unet, pipeline.reference_net, pipeline.vae.decoder)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        for part in MEASURED:
            runs[part]()
            watch.products.clear()
            taken = []
            for _ in range(ROUNDS[name]):
                begin = watch()
                runs[part]()
                taken.append(watch() - begin)
            limit, rate = watch.limit(), counted[part] / statistics.median(taken)
            print(f"    {part}: {1000 * statistics.median(taken):.0f} ms, {counted[part] / 1e9:.3g} GFLOP, "
                  f"{rate / 1e9:.0f} GFLOP/s, {rate / limit:.2f} of {limit / 1e9:.0f} of a matrix product between its "
                  "blocks", flush=True)  # fmt: skip
        with watch_layers(pipeline.unet, watch) as seconds:
            runs[CONDITIONAL]()
        print_layers(seconds, layers)
    watch.remove()
    print(f"    peak memory {peak_memory() / 1e9:.2f} GB", flush=True)


def _apart(name: str, dtype: torch.dtype) -> None:
    process = multiprocessing.get_context("spawn").Process(target=measure, args=(name, dtype))
    process.start()
    process.join()
    if process.exitcode:
        print(f"  {name}: ended with {process.exitcode} (out of memory?)")


def run() -> None:
    for name in SIZES:
        _apart(name, torch.float32)


def run_bf16() -> None:
    """The same in bfloat16, which holds a rounded copy of the weights, too."""
    if not has_fast_bf16(CPU):
        print("  this processor does not multiply bfloat16 in hardware")
        return
    for name in SIZES:
        _apart(name, torch.bfloat16)
