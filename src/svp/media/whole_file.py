"""Files that appear under their name only when they are complete."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from svp.errors import InputError


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
    from safetensors import SafetensorError  # late: `svp doctor` writes where it is missing, too

    try:
        yield
    except (OSError, SafetensorError) as error:  # a full disk can be the latter
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be written ({why}); make room, or choose another name or folder") from error


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
