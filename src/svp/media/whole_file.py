"""Files that appear under their name only when they are complete."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from svp.errors import InputError

TORCH_WRITER = ("inline_container", "PytorchStreamWriter", "unexpected pos")  # in what torch.save says of a full disk


def partial_path(path: Path) -> Path:
    """A hidden name beside `path` that nobody else writes to, whatever else writes the same file."""
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.partial")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write; what is written there gets its name when the block ends, and goes if the block fails."""
    partial = partial_path(path)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What forbids `path` to be written in the block is told.

    Raises:
        InputError: it cannot be written.
    """
    try:
        yield
    except Exception as error:
        if not _forbids(error):
            raise
        why = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise InputError(f"{path}: cannot be written ({why}); make room, or choose another name or folder") from error


def _forbids(error: Exception) -> bool:
    """Whether it tells that something cannot be written, by the system or by what writes safetensors or pickles.

    Those are known by name, as `svp doctor` writes where they are missing, too.
    """
    return (
        isinstance(error, OSError)
        or type(error).__name__ == "SafetensorError"
        or (isinstance(error, RuntimeError) and any(word in str(error) for word in TORCH_WRITER))
    )


@contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """`whole_file` for an output that a user named; its folder is made.

    Raises:
        InputError: it cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            yield partial
