"""Text that may leave the computer: without its owner's name, its own name, and places on its disks."""

from __future__ import annotations

import getpass
import os
import platform
import re
import sys
from pathlib import Path
from typing import Final

from svp.doctor.system import VARIABLES

# A path from the root of a disk or from a computer in the network: not part of an address (https://...), of a fraction
# or of a media type. Words after a blank belong to it where a further folder follows.
_PART: Final = r"""(?:[^\s"'`;:,()]|[;:,](?=[^\s;:,]))+"""
PATH: Final = re.compile(
    rf"""(?:(?<![\w./\\~>:-])(?:[A-Za-z]:\\|\\\\|//?)|(?<=\s-[A-Za-z])/)(?![/\s]){_PART}"""
    rf"""(?:[ ](?:[\w.-]+[ ])*[\w.-]*[/\\]{_PART})*"""
)
ADDRESS: Final = re.compile(r"""\b(?!https?:)[a-z][a-z0-9+.-]*://[^\s"']+""", re.IGNORECASE)
LOGIN: Final = re.compile(r"(?<=://)[^\s/@]+@")


def without_private(text: str) -> str:
    """A text with the home folder as ~, other absolute paths as <path>, and names of user and computer left out."""
    for home in dict.fromkeys((str(Path.home()), str(Path.home().resolve()))):
        if len(Path(home).parts) > 1:  # not the root itself
            text = re.sub(rf"{re.escape(home)}(?![\w-])", "~", text)
    for folder in sorted(_folders(), key=len, reverse=True):
        text = text.replace(folder, "<path>")
    text = LOGIN.sub("<user>@", ADDRESS.sub("<path>", text))
    text = PATH.sub("<path>", text)
    for name, put in ((_user(), "<user>"), (platform.node(), "<computer>")):
        if name:
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", put, text, flags=re.IGNORECASE)
    return text


def _folders() -> set[str]:
    """Folders that are this computer's, whatever characters are in their names."""
    values = (value for name, value in os.environ.items() if name.startswith(VARIABLES))
    known = {*values, str(Path.cwd()), sys.prefix, sys.executable}
    home = str(Path.home())
    return {place for place in known if len(Path(place).parts) > 2 and place[:1] in "/\\" and place != home}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user without a name, in a container
        return ""
