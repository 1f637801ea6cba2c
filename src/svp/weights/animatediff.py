"""AnimateDiff's motion modules, as V-Express keeps them too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path

from torch import Tensor

from svp.errors import InputError
from svp.weights.checkpoint import read_checkpoint

MOTION_LAYERS = "motion_modules."  # in the names of their tensors
TABLE = "pos_encoder.pe"
MIDDLE = f"mid_block.{MOTION_LAYERS}0."
PLACE = re.compile(r"(?:down|up)_blocks\.(\d{1,2})\.motion_modules\.(\d{1,2})\.")


def read_motion_modules(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of motion modules, their sinusoid tables (1, frames, channels) among them.

    Raises:
        InputError: if it cannot be read, or holds none. Other tensors are left to `check_shapes`.
    """
    tensors = read_checkpoint(path)
    if not any(MOTION_LAYERS in name for name in tensors):
        raise InputError(f"{path}: has no motion modules; give mm_sd_v15_v2.ckpt")
    return tensors


def whole_levels(names: Iterable[str]) -> list[list[str]]:
    """The motion modules of the UNet whose modules these are, as far as names tell: some may be missing, or too many.

    Every level has them on the way down, one for each of its layers, and on the way up, where it has one layer more; so
    has the middle, as mm_sd_v15_v2 and V-Express have it.

    Returns:
        The starts of the modules' names for each level, of the same width; the middle goes with the last one.
    """
    there = {match[0]: match for name in names if (match := PLACE.match(name))}
    levels = 1 + max((int(match[1]) for match in there.values()), default=0)  # named on the way down or on the way up
    most = 1 + max((int(match[2]) for match in there.values()), default=0)
    layouts = (_layout(levels, layers) for layers in range(most, 0, -1))  # of equals the larger
    return min(layouts, key=lambda layout: len(there.keys() ^ set(chain(*layout))))


def _layout(levels: int, layers: int) -> list[list[str]]:
    """What a network of so many levels and layers has."""
    modules = []
    for level in range(levels):
        down = [f"down_blocks.{level}.{MOTION_LAYERS}{n}." for n in range(layers)]
        up = [f"up_blocks.{levels - 1 - level}.{MOTION_LAYERS}{n}." for n in range(layers + 1)]
        modules.append([*down, *up])
    modules[-1].append(MIDDLE)
    return modules


def split_motion(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors without motion modules, and those of motion modules."""
    motion = {name: tensor for name, tensor in tensors.items() if MOTION_LAYERS in name}
    return {name: tensor for name, tensor in tensors.items() if name not in motion}, motion
