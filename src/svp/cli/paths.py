"""Checks of the paths that a command is given, before anything heavy starts."""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

from svp.errors import InputError
from svp.media.whole_file import writing

LONGEST_NAME = 240  # bytes, so that those beside it, of what is not complete, fit into a file system's 255
ROOM = 2**16  # bytes that any output takes


def need_file(path: Path, option: str) -> None:
    """Raise InputError unless `path` is a file; `option` is how the user gave it."""
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {problem}; give {option} an existing file")


def need_folder(path: Path, holds: str) -> None:
    """Raise InputError unless `path` is a folder; `holds` is what it should have in it."""
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; name one with {holds}")


def named_folders(given: Sequence[str]) -> dict[str, Path]:
    """The folders of `--system NAME=DIR`, by name, or InputError."""
    folders: dict[str, Path] = {}
    for text in given:
        name, separator, folder = text.partition("=")
        if not (separator and name and folder):
            raise InputError(f"--system {text}: write NAME=DIR")
        if name in folders:
            raise InputError(f"--system {text}: another folder has this name; choose another")
        folders[name] = Path(folder)
        need_folder(folders[name], "videos")
    return folders


def need_output(path: Path, suffix: str, *inputs: Path) -> None:
    """Raise InputError unless a file that ends in `suffix` can be written without losing one of `inputs`."""
    if path.suffix.lower() != suffix:
        raise InputError(f"{path}: the output must end in {suffix}; choose another name")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; choose another name")
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise InputError(f"{path}: the name is too long; choose a shorter one")
    if path.exists() and any(given.exists() and path.samefile(given) for given in inputs):
        raise InputError(f"{path}: is an input and would be lost; choose another name")
    need_output_folder(path.parent)
    with writing(path), TemporaryFile(dir=path.parent) as probe:  # nobody has to remove it
        probe.write(os.urandom(ROOM))  # zeros take no room where files are compressed
        probe.flush()


def need_output_folder(path: Path) -> None:
    """Raise InputError unless files can be written to the folder `path`, which is made if missing."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be made ({error.strerror}); choose another folder") from error
    if not os.access(path, os.W_OK):
        raise InputError(f"{path}: no permission to write there; choose another folder")
