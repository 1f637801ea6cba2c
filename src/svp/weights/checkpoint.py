"""Published weights: read without running what a file may carry, and put into a network name by name."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from svp.errors import InputError

MODEL_NAMES: Final = ("model.safetensors", "model.pt")  # of the file in an imported folder
COUNTER: Final = "num_batches_tracked"  # of batch norms, unused in evaluation; old files lack it
SHOWN: Final = 3  # names per list of an error

Network = TypeVar("Network", bound=nn.Module)


def weights_file(path: Path) -> Path:
    """The file itself, or that in an imported folder.

    Raises:
        InputError: there is none.
    """
    candidates = [path / name for name in MODEL_NAMES] if path.is_dir() else [path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise InputError(f"{path}: no such weights; name the published file, or the folder that `svp import` wrote")


def read_tensors(path: Path, entry: str = "", prefix: str = "") -> dict[str, Tensor]:
    """Tensors by name, floating ones in float32, of a safetensors or PyTorch file; a pickle that does more is refused.

    Args:
        entry: of the file's dictionary, which holds the tensors; a file without it holds nothing else.
        prefix: of the names that are wanted, which loses it; a file where no name begins so has it taken off already.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        found = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except (OSError, RuntimeError, SafetensorError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: cannot be read as plain weights ({reason}); download it again") from error
    if isinstance(found, Mapping) and entry in found:
        found = found[entry]
    if not isinstance(found, Mapping) or not found:
        raise InputError(f"{path}: holds no weights by name; give the published file")
    if any(str(name).startswith(prefix) for name in found):
        found = {name: value for name, value in found.items() if str(name).startswith(prefix)}
    tensors = {str(name).removeprefix(prefix): value for name, value in found.items()}
    others = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
    if others:
        raise InputError(f"{path}: {_listed(others)} is no tensor; give the published file")
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _unpickled(path: Path) -> object:
    return torch.load(path, map_location="cpu", weights_only=True)


def filled(build: Callable[[], Network], tensors: Mapping[str, Tensor], path: Path) -> Network:
    """A network with these weights, in evaluation mode and without gradients; every name and shape must fit.

    Args:
        build: makes the network; its own numbers are never drawn.
        path: what the weights are called in the error.

    Raises:
        InputError: tensors are missing, unexpected or of another shape.
    """
    with torch.device("meta"):
        network = build()
    wanted = network.state_dict()
    given = dict(tensors)
    for name in wanted:
        if name.endswith(COUNTER):
            given.setdefault(name, torch.zeros((), dtype=torch.long))
    shapes = [
        f"{name} {tuple(given[name].shape)} for {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in given and given[name].shape != tensor.shape
    ]
    problems = {
        "missing": [name for name in wanted if name not in given],
        "unexpected": [name for name in given if name not in wanted],
        "of another shape": shapes,
    }
    told = "; ".join(f"{what}: {_listed(names)}" for what, names in problems.items() if names)
    if told:
        raise InputError(f"{path}: is not the published {build.__name__} ({told}); give the file named in its source")
    network.load_state_dict(given, assign=True)
    return network.eval().requires_grad_(False)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(str, names[:SHOWN])) + more
