"""A folder in which one run at a time works."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from svp.errors import InputError

_held: set[int] = set()  # descriptors of folders


def _forget() -> None:
    """A forked child, a reader of clips say, must not hold what its parent held when that is killed."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_forget)


@contextmanager
def only_writer(folder: Path, doing: str, output: Path | None = None) -> Iterator[None]:
    """Nobody else works in this folder meanwhile: a lock on it, which goes with the process that holds it.

    The folder is made if missing, with those that it lies in, and what stays empty of them goes. What forbids it to be
    written is left to the writer to tell; a file system without locks has none.

    Args:
        folder: to be locked.
        doing: what the other run is doing, for the message: "preparing it".
        output: what the user calls it; the folder itself by default.

    Raises:
        InputError: another run holds it.
    """
    missing = [path for path in (folder, *folder.parents) if not os.path.isdir(path)]  # nor is a name that cannot be
    held = None
    try:
        held = _lock(folder)
    except BlockingIOError:
        raise InputError(f"{output or folder}: another run is {doing}; wait until it has ended") from None
    except OSError:
        pass
    try:
        yield
    finally:
        with suppress(OSError):  # one is not empty, or gone
            # who saved a file in it may have removed it, and another run made it anew
            if held is None or os.path.samestat(os.fstat(held), os.stat(folder)):
                for path in missing:
                    path.rmdir()
        if held in _held:
            _held.remove(held)
            os.close(held)


def _lock(folder: Path) -> int:
    """A descriptor that holds the lock; BlockingIOError where another run does."""
    while True:
        with suppress(FileNotFoundError):  # who held it has just removed it
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
                    _held.add(descriptor)
                    return descriptor
            finally:
                if descriptor not in _held:
                    os.close(descriptor)
