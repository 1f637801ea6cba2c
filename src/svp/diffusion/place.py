"""Whether a CPU computes: some layers have another way there, which a plan for a graphics card must not count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from torch import Tensor

_CARD: Final = ContextVar("graphics card", default=False)


def on_cpu(tensor: Tensor) -> bool:
    """Whether a tensor is computed with on a CPU, and not only stands for one of a graphics card."""
    return tensor.is_cpu and not _CARD.get()


@contextmanager
def as_on_card(card: bool) -> Iterator[None]:
    """Tensors of a CPU stand for those of a graphics card in the block, if `card` says so."""
    before = _CARD.set(card)
    try:
        yield
    finally:
        _CARD.reset(before)
