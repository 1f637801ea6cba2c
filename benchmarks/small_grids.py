"""`base` with small grids as one matrix product and wide feed-forward layers in pieces, against torch's own ways."""

import torch

from benchmarks.cost import CONDITIONAL, REFERENCE, filled, parts
from benchmarks.timing import compare
from svp.diffusion.place import as_on_card
from svp.presets import BASE

FRAMES, SIZE, ROUNDS = 8, 256, 2


@torch.no_grad()
def run() -> None:
    runs = parts(filled(BASE), BASE, FRAMES, SIZE)
    for part in (CONDITIONAL, REFERENCE):

        def other(part: str = part) -> None:
            with as_on_card(True):  # where neither is done
                runs[part]()

        compare(f"base, {FRAMES} frames of {SIZE} x {SIZE}, {part}", runs[part], other, ROUNDS)
