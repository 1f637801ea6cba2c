"""How near the networks come to what the processor can do: FLOP of a step, their rate as a share of a large matrix
product's in the same run, time per part and per kind of layer, peak memory. `base` has random weights and few, small
frames.
"""

import multiprocessing
import statistics
from collections.abc import Callable

import torch

from benchmarks.cost import CONDITIONAL, UNCONDITIONAL, count_flop, count_layers, filled, parts
from benchmarks.layers import print_layers
from benchmarks.memory import peak_memory
from benchmarks.timing import seconds
from svp.diffusion.sampling_plan import has_fast_bf16
from svp.presets import BASE, MINI, PRESETS

SIZES = {MINI.name: (MINI.window, MINI.image_size), BASE.name: (8, 256)}  # frames, pixels
ROUNDS = {MINI.name: 7, BASE.name: 1}
SIDE = 2048  # of the matrices: 17 GFLOP
CPU = torch.device("cpu")


def product(dtype: torch.dtype) -> Callable[[], object]:
    """A large matrix product."""
    matrix = torch.ones(SIDE, SIDE, dtype=dtype)
    return lambda: matrix @ matrix


@torch.no_grad()
def measure(name: str) -> None:
    """Print everything about a preset; in a process of its own, whose peak memory is its own."""
    preset, (frames, size) = PRESETS[name], SIZES[name]
    counted, layers = count_flop(preset, frames, size), count_layers(preset, frames, size)
    step = counted[CONDITIONAL] + counted[UNCONDITIONAL]
    print(f"  {name}, {frames} frames of {size} x {size}: {step / 1e12:.3g} TFLOP per guided step")
    pipeline = filled(preset)
    runs = parts(pipeline, preset, frames, size)
    for dtype in (torch.float32, torch.bfloat16) if has_fast_bf16(CPU) else (torch.float32,):
        print(f"    {str(dtype).removeprefix('torch.')}:")
        multiply = product(dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            for part, run in runs.items():
                run(), multiply()
                pairs = [(seconds(multiply), seconds(run), seconds(multiply)) for _ in range(ROUNDS[name])]
                taken = statistics.median(middle for _, middle, _ in pairs)
                limit = 2 * SIDE**3 / statistics.median(time for first, _, last in pairs for time in (first, last))
                rate = counted[part] / taken
                print(f"      {part}: {1000 * taken:.0f} ms, {counted[part] / 1e9:.3g} GFLOP, {rate / 1e9:.0f} GFLOP/s,"
                      f" {rate / limit:.2f} of {limit / 1e9:.0f} of a matrix product beside it")  # fmt: skip
            print_layers(pipeline.unet, runs[CONDITIONAL], layers)
    print(f"    peak memory {peak_memory() / 1e9:.2f} GB", flush=True)


def run() -> None:
    for name in SIZES:
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(name,))
        process.start()
        process.join()
