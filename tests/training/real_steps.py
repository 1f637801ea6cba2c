"""Two real steps of a stage with a preset's full networks, and the memory they took."""

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


def two_steps(options: TrainOptions, told: Path) -> None:
    """Write into the file how many bytes the peak lies above what this process, which is for them alone, began with."""
    torch.set_num_threads(1)
    torch.nn.Linear(8, 8)(torch.zeros(1, 8)).sum().backward()
    before = peak_bytes()
    pipeline = build_pipeline(PRESETS[options.preset], seed=0)
    objective = build_objective(pipeline, STAGES[options.stage], options)
    parameters = trainable(objective)
    optimizer, ema = torch.optim.Adam(parameters, fused=True), EMAModel(parameters)
    batch = example_batch(PRESETS[options.preset], pipeline, options, options.batch_size)
    for _ in range(2):
        objective(batch)[0].backward()
        optimizer.step()
        optimizer.zero_grad()
        ema.step(parameters)
    told.write_text(str(peak_bytes() - before))
