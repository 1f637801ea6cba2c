"""What the beginning of a file of weights says; read without torch, so that a wrong file is told at once."""

from __future__ import annotations

from pathlib import Path

from svp.errors import InputError

AGAIN = "download the file again"
DOWN, UP = ".lora_A.weight", ".lora_B.weight"  # how the names of the two tensors of an adapter end
TRAINED = "give the file that `svp train --lora` wrote"
TORCH_SAVE = (b"PK\x03\x04", b"\x80")  # a zip archive since torch 1.6, also of TorchScript; a bare pickle before


def is_safetensors(path: Path) -> bool:
    """Whether a file is laid out as safetensors, whatever it is called: 8 bytes of length, then a JSON object.

    Raises:
        InputError: if it cannot be read.
    """
    return _beginning(path)[8:] == b"{"


def check_checkpoint(path: Path) -> None:
    """Whether a file can be one of weights: safetensors, or what `torch.save` writes.

    Raises:
        InputError: it is neither, or cannot be read.
    """
    if not is_safetensors(path) and not _beginning(path).startswith(TORCH_SAVE):
        why = "neither safetensors nor a file of torch.save" if path.stat().st_size else "an empty file"
        raise InputError(f"{path}: no readable checkpoint ({why}); {AGAIN}")


def check_adapters(path: Path, remedy: str = TRAINED) -> None:
    """Whether a file holds LoRA adapters.

    Raises:
        InputError: it cannot be read, or holds none.
    """
    from safetensors import SafetensorError, safe_open  # late: `svp doctor` runs where it is missing, too

    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: no readable adapters ({error}); {remedy}") from error
    if not any(name.endswith(DOWN) for name in names):
        raise InputError(f"{path}: holds no LoRA adapters; {remedy}")


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(9)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give an existing file") from error
