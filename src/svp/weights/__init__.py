"""Weights that others published: where they come from, what they may be used for, how their files are read safely.

The networks are imported when first used, so that reading the registry stays quick. `load_*` logs the terms of what it
reads before it does (logger `svp.weights.terms`, once in a process).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from svp.weights.deep3d import load_deep3d
    from svp.weights.i3d import load_i3d
    from svp.weights.inception import load_inception
    from svp.weights.styletalk import load_styletalk
    from svp.weights.syncnet import load_syncnet

__all__ = ["load_deep3d", "load_i3d", "load_inception", "load_styletalk", "load_syncnet"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'svp.weights' has no attribute {name!r}")
    return getattr(import_module(f"svp.weights.{name.removeprefix('load_')}"), name)
