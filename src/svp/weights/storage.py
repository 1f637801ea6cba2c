"""Writing weights tensor by tensor, so that a model of any size passes through little memory."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from svp.media.whole_file import whole_file

NAMES = {
    torch.float32: "F32",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
ALIGNMENT = 8


def write_weights(path: Path, tensors: Mapping[str, Tensor], fresh: Callable[[str], Tensor] | None = None) -> None:
    """Write a safetensors file; it appears when it is complete.

    Args:
        path: ends in `.safetensors`.
        tensors: by name; floats of any precision become float32. They may still lie in a file.
        fresh: gives the values of a tensor on the meta device, by its name, when it is written.
    """
    wide_first = sorted(tensors.items(), key=lambda entry: -_stored(entry[1]).itemsize)  # so all lie aligned
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in wide_first:
        dtype = _stored(tensor)
        size = tensor.numel() * dtype.itemsize
        header[name] = {"dtype": NAMES[dtype], "shape": list(tensor.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial, partial.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, tensor in wide_first:
            if tensor.is_meta and fresh is not None:
                tensor = fresh(name)
            file.write(tensor.detach().to(_stored(tensor)).contiguous().numpy().data)


def _stored(tensor: Tensor) -> torch.dtype:
    return torch.float32 if tensor.is_floating_point() else tensor.dtype
