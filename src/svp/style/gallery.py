"""The styles that come with the package, by name and level."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from svp.errors import InputError

if TYPE_CHECKING:
    from svp.style.prior import StylePrior

GALLERY = Path(__file__).parents[1] / "assets" / "styles"
LEVELS = (1, 2, 3)  # MEAD's intensities
DEFAULT_LEVEL = 3


def gallery_names() -> list[str]:
    """Names of the shipped styles, without levels."""
    return sorted({path.stem.rpartition("_")[0] for path in GALLERY.glob("*_[0-9].safetensors")})


def gallery_path(name: str, level: int) -> Path:
    return GALLERY / f"{name}_{level}.safetensors"


def gallery_name(path: Path) -> str | None:
    """Name and level, as in `happy:2`, of a file of the gallery; None of another file."""
    return ":".join(path.stem.rsplit("_", 1)) if path.parent == GALLERY else None


def gallery_styles(encoder: str | None) -> dict[str, StylePrior]:
    """The styles that an encoder of this fingerprint made, by name and level as in `happy:2`; a level may lack."""
    from svp.style.prior import StylePrior  # late: names are looked up before torch is loaded

    paths = {f"{name}:{level}": gallery_path(name, level) for name in gallery_names() for level in LEVELS}
    styles = {name: StylePrior.load(path) for name, path in paths.items() if path.is_file()}
    return {name: style for name, style in styles.items() if style.encoder == encoder}


def find_style(text: str, folder: Path = Path(), remedy: str = "give a clip or a saved style") -> Path:
    """The file that a style argument means: an existing path first, else `name` or `name:level` of the gallery.

    Args:
        text: the argument.
        folder: what a path is relative to.
        remedy: what may be given besides.

    Raises:
        InputError: if it is neither, or too long for a name.
    """
    try:
        if (folder / text).exists():
            return folder / text
    except OSError as error:  # a name that cannot be
        raise InputError(f"{text}: {error.strerror}; choose a shorter name") from error
    name, colon, level = text.partition(":")
    if name in gallery_names():
        if colon and level not in map(str, LEVELS):
            raise InputError(
                f"{text}: style levels are {', '.join(map(str, LEVELS))}; write {name}:{DEFAULT_LEVEL}, or {name}@2.5 "
                "for a time"
            )
        return gallery_path(name, int(level) if level else DEFAULT_LEVEL)
    known = ", ".join(gallery_names()) or "none in this installation"
    raise InputError(f"{text}: no such file and no style of the gallery ({known}); {remedy}")
