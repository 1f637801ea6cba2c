"""Text that may leave the computer: without its owner's name, its own name, and places on its disks."""

from __future__ import annotations

import getpass
import platform
import re
from pathlib import Path
from typing import Final

# A path from the root of a disk: not part of an address (https://...), of a fraction or of a media type.
PATH: Final = re.compile(r"""(?<![\w./~>-])(?:[A-Za-z]:\\|/(?!/))[^\s"'`;:,()]+""")
FILE_ADDRESS: Final = re.compile(r"file://[^\s\"']+")


def without_private(text: str) -> str:
    """A text with the home folder as ~, other absolute paths as <path>, and names of user and computer left out."""
    for home in dict.fromkeys((str(Path.home()), str(Path.home().resolve()))):
        if len(Path(home).parts) > 1:  # not the root itself
            text = re.sub(rf"{re.escape(home)}(?![\w-])", "~", text)
    text = FILE_ADDRESS.sub("<path>", text)
    text = PATH.sub("<path>", text)
    for name, put in ((_user(), "<user>"), (platform.node(), "<computer>")):
        if name:
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", put, text, flags=re.IGNORECASE)
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user without a name, in a container
        return ""
