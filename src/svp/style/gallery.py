"""The styles that come with the package, by name and level."""

from pathlib import Path

from svp.errors import InputError

GALLERY = Path(__file__).parents[1] / "assets" / "styles"
LEVELS = (1, 2, 3)  # MEAD's intensities
DEFAULT_LEVEL = 3


def gallery_names() -> list[str]:
    """Names of the shipped styles, without levels."""
    return sorted({path.stem.rpartition("_")[0] for path in GALLERY.glob("*_[0-9].safetensors")})


def gallery_path(name: str, level: int) -> Path:
    return GALLERY / f"{name}_{level}.safetensors"


def find_style(text: str, folder: Path = Path()) -> Path:
    """The file that a style argument means: an existing path first, else `name` or `name:level` of the gallery.

    Args:
        text: the argument.
        folder: what a path is relative to.

    Raises:
        InputError: if it is neither.
    """
    if (folder / text).exists():
        return folder / text
    name, colon, level = text.partition(":")
    if name in gallery_names():
        if colon and level not in map(str, LEVELS):
            raise InputError(
                f"{text}: style levels are {', '.join(map(str, LEVELS))}; write {name}:{DEFAULT_LEVEL}, or {name}@2.5 "
                "for a time"
            )
        return gallery_path(name, int(level) if level else DEFAULT_LEVEL)
    known = ", ".join(gallery_names()) or "none in this installation"
    raise InputError(f"{text}: no such file and no style of the gallery ({known}); give a clip or a saved style")
