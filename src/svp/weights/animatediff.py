"""AnimateDiff's motion modules, as V-Express keeps them too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from svp.errors import InputError
from svp.weights.checkpoint import read_checkpoint

MOTION_LAYERS = "motion_modules."  # in the names of their tensors
TABLE = "pos_encoder.pe"


def read_motion_modules(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of motion modules, their sinusoid tables (1, frames, channels) among them.

    Raises:
        InputError: if it cannot be read, or holds none. Other tensors are left to `check_shapes`.
    """
    tensors = read_checkpoint(path)
    if not any(MOTION_LAYERS in name for name in tensors):
        raise InputError(f"{path}: has no motion modules; give mm_sd_v15_v2.ckpt")
    return tensors


def split_motion(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors without motion modules, and those of motion modules."""
    motion = {name: tensor for name, tensor in tensors.items() if MOTION_LAYERS in name}
    return {name: tensor for name, tensor in tensors.items() if name not in motion}, motion
