"""Two real steps of a stage with a preset's full networks; prints the memory they took and their seconds.

Run as a program, so that the peak is theirs: python real_steps.py OPTIONS.json
"""

import sys
import time
from pathlib import Path

import torch
from diffusers.training_utils import EMAModel

from svp.diffusion.build import build_pipeline
from svp.presets import PRESETS
from svp.training.networks import build_objective, trainable
from svp.training.options import TrainOptions
from svp.training.plan import example_batch
from svp.training.stages import STAGES


def peak_bytes() -> int:
    # getrusage knows the peak of the process that started this one too
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    options = TrainOptions.load(Path(sys.argv[1]))
    torch.nn.Linear(8, 8)(torch.zeros(1, 8)).sum().backward()
    before = peak_bytes()
    pipeline = build_pipeline(PRESETS[options.preset], seed=0)
    objective = build_objective(pipeline, STAGES[options.stage], options)
    parameters = trainable(objective)
    optimizer, ema = torch.optim.Adam(parameters, fused=True), EMAModel(parameters)
    batch = example_batch(PRESETS[options.preset], pipeline, options, options.batch_size)
    for _ in range(2):
        begin = time.perf_counter()
        objective(batch)[0].backward()
        optimizer.step()
        optimizer.zero_grad()
        ema.step(parameters)
        seconds = time.perf_counter() - begin
    print(peak_bytes() - before, seconds)
