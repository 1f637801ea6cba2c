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
_MORE: Final = rf"(?:[ ](?:[\w.()-]+[ ])*[\w.()-]*[/\\]{_PART})*"
PATH: Final = re.compile(rf"""(?:(?<![\w./\\~>:-])(?:[A-Za-z]:\\|\\\\|//?)|(?<=\s-[A-Za-z])/)(?![/\s]){_PART}{_MORE}""")
BELOW: Final = rf"(?:[/\\]{_PART}{_MORE})?"  # what follows a folder
KEPT: Final = r"[/\\](?:\.cache|\.local[/\\]share[/\\]svp)(?![\w.-])"  # folders of the home that everybody has
IN_HOME: Final = re.compile(rf"(?<![\w~])~(?!{KEPT})[/\\]{_PART}{_MORE}")
ADDRESS: Final = re.compile(r"""\b(?!https?:)[a-z][a-z0-9+.-]*://[^\s"']+""", re.IGNORECASE)
LOGIN: Final = re.compile(r"(?<=://)[^\s/@]+@")
TOLD: Final = re.compile(r"[\d.,:-]*|set|true|false|yes|no|on|off|infinite", re.IGNORECASE)  # values without a place


def without_private(text: str, *places: str) -> str:
    """A text without private places and names.

    The home folder becomes ~, absolute paths and those in the home <path>, values of variables that may be places
    `set`; names of user and computer are left out.

    Args:
        text: what may hold them.
        places: further ones to leave out, such as relative paths that were given as options.
    """
    values = _values()
    for name, value in values.items():
        text = text.replace(f"{name}={value}", f"{name}=set")
    given = {value for name, value in values.items() if name.startswith(("SVP_", "HF_")) or re.search(r"[/\\]", value)}
    for folder in sorted(_folders() | given | set(places), key=len, reverse=True):
        if re.search(r"\w", folder):
            text = re.sub(rf"(?<![\w./\\-]){re.escape(folder)}(?![\w-]){BELOW}", "<path>", text)
    for home in dict.fromkeys((str(Path.home()), str(Path.home().resolve()))):
        if len(Path(home).parts) > 1:  # not the root itself
            text = re.sub(rf"{re.escape(home)}(?![\w-])", "~", text)
    text = IN_HOME.sub("<path>", text)
    text = LOGIN.sub("<user>@", ADDRESS.sub("<path>", text))
    text = PATH.sub("<path>", text)
    for name, put in ((_user(), "<user>"), (platform.node(), "<computer>")):
        if name:
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", put, text, flags=re.IGNORECASE)
    return text


def _values() -> dict[str, str]:
    """What the variables that the report tells of say, where that may be a place."""
    told = {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}
    return {name: value for name, value in told.items() if not TOLD.fullmatch(value)}


def _folders() -> set[str]:
    """Folders that are this computer's, whatever characters are in their names; not those that the home lies in."""
    known = {str(Path.cwd()), sys.prefix, sys.executable}
    home = Path.home()
    return {place for place in known if len(Path(place).parts) > 2 and not home.is_relative_to(place)}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user without a name, in a container
        return ""
