"""What the launcher and the device give a run: processes, arithmetic, the share of a batch that is computed at once."""

from __future__ import annotations

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env

from svp.errors import InputError
from svp.training.options import TrainOptions


def processes() -> PartialState:
    """The processes of this run; `accelerate launch --cpu` says so in a variable that PartialState does not read."""
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))


def mixed_precision(precision: str, device: torch.device) -> str:
    """accelerate's name of an arithmetic that the device has: "no", "bf16" or "fp16".

    Raises:
        InputError: fp16 on a CPU, where accelerate would silently compute in float32.
    """
    if precision == "auto":
        has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if has_bf16 else "no"
    if precision == "fp16" and device.type == "cpu":
        raise InputError("--precision fp16: needs a GPU and this run has none; use --precision bf16 or fp32")
    return "no" if precision == "fp32" else precision


def micro_batch_size(options: TrainOptions, processes: int) -> int:
    """Samples of one forward over all processes.

    Raises:
        InputError: the batch cannot be divided equally.
    """
    shares = options.accumulate * processes
    if options.stage != "prior" and options.batch_size % shares:  # the batches of stage `prior` stay whole
        raise InputError(
            f"--batch-size {options.batch_size}: {options.accumulate} micro-batches on {processes} processes need a "
            f"multiple of {shares}; choose one"
        )
    return options.batch_size // options.accumulate
