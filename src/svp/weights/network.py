"""A network that holds published weights exactly, name by name."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Final, TypeVar

import torch
from torch import nn

from svp.errors import InputError
from svp.media.hashing import sha256_file
from svp.weights.checkpoint import check_shapes, read_checkpoint, refuse_unexpected, shapes
from svp.weights.provenance import imported_files
from svp.weights.registry import UNKNOWN, find_weight
from svp.weights.terms import tell_terms

SAFETENSORS: Final = "model.safetensors"  # of an imported folder
TORCHSCRIPT: Final = "model.pt"
COUNTER: Final = "num_batches_tracked"  # of batch norms, not used in evaluation; files of old programs lack it

Network = TypeVar("Network", bound=nn.Module)


def weights_file(path: Path) -> Path:
    """The file itself, or that in a folder that `svp import` wrote.

    Raises:
        InputError: there is none.
    """
    for candidate in (path / SAFETENSORS, path / TORCHSCRIPT) if path.is_dir() else (path,):
        if candidate.is_file():
            return candidate
    raise InputError(f"{path}: no such weights; name the published file, or the folder that `svp import` made of it")


def published_file(kind: str, path: Path) -> Path:
    """As `weights_file`, for a kind of `svp import`, whose terms are told: of an imported folder those in its record.

    Of TorchScript that is neither the published file nor the recorded one the terms are unknown.

    Raises:
        InputError: there is none, or the record is damaged.
    """
    file = weights_file(path)
    weight, records = find_weight(kind), imported_files(path.parent) if path.is_dir() else []
    own = [record for record in records if record.kind == kind]
    if is_torchscript(file):
        digest = sha256_file(file)
        own = [record for record in own if record.sha256 == digest]
        weight = weight if digest in weight.scripts else replace(weight, licence=UNKNOWN["licence"], use=UNKNOWN["use"])
    tell_terms([own[0].weight if own else weight])
    return file


def is_torchscript(path: Path) -> bool:
    """Whether a file is TorchScript; nothing of it is run."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):  # another format, or damaged: who reads it will say so
        return False


def load_network(build: Callable[[], Network], path: Path, prefix: str = "", others: str = "") -> Network:
    """A network with the weights of a file, in float32 and evaluation mode, without gradients.

    Args:
        build: makes the network; its own numbers are never drawn.
        path: of the weights.
        prefix: of the names that are the network's where a file holds several; it is taken off.
        others: regular expression for the start of the others' names.

    Raises:
        InputError: the file cannot be read, or tensors are missing, unexpected or of another shape.
    """
    tensors = read_checkpoint(path)
    if any(name.startswith(prefix) for name in tensors):
        own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        strange = {n: t for n, t in tensors.items() if not n.startswith(prefix) and not re.match(others, n)}
        refuse_unexpected(path, shapes(strange))
        tensors = own
    with torch.device("meta"):
        network = build()
    wanted = network.state_dict()
    counters = {name: torch.zeros((), dtype=torch.long) for name in wanted if name.endswith(COUNTER)}
    given = {
        name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in (counters | tensors).items()
    }
    check_shapes(path, shapes(given), shapes(wanted))
    network.load_state_dict(given, assign=True)
    return network.eval().requires_grad_(False)


def device_of(network: nn.Module) -> torch.device:
    """Where a network's weights lie; the CPU if it has none."""
    return next((tensor.device for tensor in chain(network.parameters(), network.buffers())), torch.device("cpu"))
