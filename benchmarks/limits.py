"""How near the networks come to what the processor can do: FLOP of a step, their rate as a share of a large matrix
product's in the same run, time per part, peak memory. `base` has random weights and few, small frames.
"""

import multiprocessing

import torch

from benchmarks.cost import CONDITIONAL, UNCONDITIONAL, count_flop, filled, parts
from benchmarks.memory import peak_memory
from benchmarks.timing import seconds
from svp.diffusion.sampling_plan import has_fast_bf16
from svp.presets import BASE, MINI, PRESETS
from svp.training.plan import product_rate

SIZES = {MINI.name: (MINI.window, MINI.image_size), BASE.name: (8, 256)}  # frames, pixels
ROUNDS = {MINI.name: 5, BASE.name: 1}
CPU = torch.device("cpu")


@torch.no_grad()
def measure(name: str) -> None:
    """Print everything about a preset; in a process of its own, whose peak memory is its own."""
    preset, (frames, size) = PRESETS[name], SIZES[name]
    counted = count_flop(preset, frames, size)
    step = counted[CONDITIONAL] + counted[UNCONDITIONAL]
    print(f"  {name}, {frames} frames of {size} x {size}: {step / 1e12:.3g} TFLOP per guided step")
    pipeline = filled(preset)
    runs = parts(pipeline, preset, frames, size)
    for dtype in (torch.float32, torch.bfloat16) if has_fast_bf16(CPU) else (torch.float32,):
        limit = product_rate(CPU, dtype)
        print(f"    {str(dtype).removeprefix('torch.')}: a matrix product runs at {limit / 1e9:.0f} GFLOP/s")
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            for part, run in runs.items():
                run()
                taken = min(seconds(run) for _ in range(ROUNDS[name]))
                rate = counted[part] / taken
                print(f"      {part}: {1000 * taken:.0f} ms, {counted[part] / 1e9:.3g} GFLOP, "
                      f"{rate / 1e9:.0f} GFLOP/s, {rate / limit:.2f} of the product's")  # fmt: skip
    print(f"    peak memory {peak_memory() / 1e9:.2f} GB")


def run() -> None:
    for name in SIZES:
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(name,))
        process.start()
        process.join()
