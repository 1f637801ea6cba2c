"""Checkpoints of other projects: read without running what they contain, compared name by name.

Tensors stay in their file until they are used (memory map), so a checkpoint of any size takes little memory. Only
pickles of the format before torch 1.6 are read whole.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from svp.errors import InputError
from svp.weights.differences import DifferentTensorsError
from svp.weights.header import AGAIN, is_safetensors

SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".model")
WRAPPERS = ("state_dict", "model_state_dict", "net_recon")  # keys under which training programs keep the weights
Shapes = Mapping[str, tuple[int, ...]]
REFUSED = ("GLOBAL", "allowlisted", "Trying to call reduce")  # in torch's words for what would run


class LightningCallback:
    """Stands for a class of PyTorch Lightning that Stable Diffusion's first file names and nobody needs."""


KNOWN_CLASSES: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (LightningCallback, "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint")
]


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or a pickled state dict by name, on the CPU, in the file's types.

    A `state_dict` or `model_state_dict` around them and `module.` before every name are taken off; entries of a pickle
    that are no tensors are left out.

    Raises:
        InputError: if there is no such file, it cannot be read, a pickle holds more than plain values and tensors,
            there is no tensor in it, or tensors beside a `state_dict`.
    """
    values = _read_safetensors(path) if is_safetensors(path) else read_pickle(path)
    for wrapper in WRAPPERS:
        if isinstance(values, Mapping) and isinstance(values.get(wrapper), Mapping):
            values = unwrapped(path, values, wrapper)
    tensors = named_tensors(values)
    if not tensors:
        raise InputError(f"{path}: holds no tensors by name; give the published file of weights")
    return without_prefix(tensors, "module.")


def read_pickle(path: Path) -> Any:
    """What a file of `torch.save` holds; nothing in it is run.

    Raises:
        InputError: if it cannot be read, or holds anything but plain values and tensors.
    """
    try:
        with torch.serialization.safe_globals(KNOWN_CLASSES):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # a damaged file breaks torch's reader in many ways
        pickled = isinstance(error, pickle.UnpicklingError)
        if pickled and any(word in str(error) for word in REFUSED):
            raise InputError(
                f"{path}: refused, it is no pickle of plain weights and could run code; "
                "give a .safetensors file, or one from its publisher"
            ) from error
        reason = "a damaged pickle" if pickled else _first_line(error)
        raise InputError(f"{path}: no readable checkpoint ({reason}); {AGAIN}") from error


def named_tensors(values: Any) -> dict[str, Tensor]:
    """The entries of a dictionary that are tensors; empty if it is no dictionary."""
    if not isinstance(values, Mapping):
        return {}
    return {str(name): value for name, value in values.items() if isinstance(value, Tensor)}


def unwrapped(source: Path, values: Mapping[str, Any], wrapper: str) -> Mapping[str, Any]:
    """What lies under a key of a pickle.

    Raises:
        InputError: naming the tensors beside it, which would be lost.
    """
    refuse_unexpected(source, shapes(named_tensors(values)))
    return values[wrapper]


def without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The same tensors, without a prefix that all names have; unchanged if one has not."""
    if not all(name.startswith(prefix) for name in tensors):
        return dict(tensors)
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def check_shapes(source: Path, got: Shapes, wanted: Shapes) -> None:
    """Whether a checkpoint has exactly the tensors of a network.

    Args:
        source: named in the message.
        got, wanted: shapes by name.

    Raises:
        DifferentTensorsError: with the tensors that are missing, unexpected or of another shape, and these shapes.
    """
    differences = {
        "missing": [(name, size(shape)) for name, shape in wanted.items() if name not in got],
        "unexpected": [(name, size(shape)) for name, shape in got.items() if name not in wanted],
        "of another shape": [
            (name, f"{size(got[name])} instead of {size(shape)}")
            for name, shape in wanted.items()
            if name in got and tuple(got[name]) != tuple(shape)
        ],
    }
    found = {kind: tensors for kind, tensors in differences.items() if tensors}
    if found:
        raise DifferentTensorsError(source, found)


def refuse_unexpected(source: Path, strange: Shapes) -> None:
    """Raise DifferentTensorsError, as `check_shapes`, if there are tensors that belong to no network."""
    check_shapes(source, strange, {})


def find_checkpoint(folder: Path, stems: Iterable[str]) -> Path | None:
    """The file of a folder that is called by one of the stems with a known suffix; None if there is none.

    Earlier stems and safetensors go first.
    """
    candidates = (folder / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def size(shape: tuple[int, ...]) -> str:
    """A shape in a message."""
    return "x".join(map(str, shape)) or "scalar"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: damaged or cut short ({_first_line(error)}); {AGAIN}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
