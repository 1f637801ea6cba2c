"""AnimateDiff's motion modules, as V-Express keeps them too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from svp.errors import InputError
from svp.weights.checkpoint import read_checkpoint

MOTION_LAYERS = "motion_modules."  # in the names of their tensors
TABLE = "pos_encoder.pe"
MIDDLE = f"mid_block.{MOTION_LAYERS}0."
PLACE = re.compile(r"(down|up)_blocks\.(\d{1,2})\.motion_modules\.(\d{1,2})\.")
Place = tuple[str, int, int]  # way, number of the block, number of the module in it


def read_motion_modules(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of motion modules, their sinusoid tables (1, frames, channels) among them.

    Raises:
        InputError: if it cannot be read, or holds none. Other tensors are left to `check_shapes`.
    """
    tensors = read_checkpoint(path)
    if not any(MOTION_LAYERS in name for name in tensors):
        raise InputError(f"{path}: has no motion modules; give mm_sd_v15_v2.ckpt")
    return tensors


def whole_modules(names: Iterable[str]) -> dict[str, str]:
    """The motion modules of the UNet whose modules these are, as far as names tell: some may be missing, or too many.

    Whole levels may lack them, and so may the middle. A level that has them has them on the way down and on the way up,
    as many as every other: one for each of its layers, and one more on the way up.

    Returns:
        The starts of the modules' names, each with that of a module of the same width that is there, its own if it is.
    """
    names = list(names)
    there = {(match[1], int(match[2]), int(match[3])) for name in names if (match := PLACE.match(name))}
    deepest = max((at for _, at, _ in there), default=0)
    most = max((number for _, _, number in there), default=0)
    depths = range(deepest + 1, 2 * deepest + 2)  # more than are seen if the last level and the first lack modules
    layouts = (_layout(there, levels, layers) for levels in depths for layers in range(1, most + 2))
    best = min(layouts, key=lambda modules: len(there ^ modules.keys()))
    modules = {_start(place): _start(place if place in there else alike) for place, alike in best.items()}
    return modules | ({MIDDLE: MIDDLE} if any(name.startswith(MIDDLE) for name in names) else {})


def _layout(there: set[Place], levels: int, layers: int) -> dict[Place, Place]:
    """The modules of a network of so many levels and layers, each with one of its level that is there."""
    modules: dict[Place, Place] = {}
    for way, at, number in sorted(there):
        level = at if way == "down" else levels - 1 - at
        down = [("down", level, n) for n in range(layers)]
        up = [("up", levels - 1 - level, n) for n in range(layers + 1)]
        for place in (*down, *up):
            modules.setdefault(place, (way, at, number))
    return modules


def _start(place: Place) -> str:
    way, at, number = place
    return f"{way}_blocks.{at}.{MOTION_LAYERS}{number}."


def split_motion(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors without motion modules, and those of motion modules."""
    motion = {name: tensor for name, tensor in tensors.items() if MOTION_LAYERS in name}
    return {name: tensor for name, tensor in tensors.items() if name not in motion}, motion
