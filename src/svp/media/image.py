"""Read pictures as they are meant to be seen, write PNG files, lay out contact sheets."""

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from io import BytesIO
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from svp.errors import InputError
from svp.media.whole_file import output_file
from svp.native_stderr import native_stderr_silenced

MOST_PIXELS = 64_000_000  # of a picture or of a video's frame: beyond it memory would run short before anything else
LONGEST_SIDE = 32_000  # OpenCV inside of the landmark detector ends the process from 32,767 on
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # `read_image` tells of fewer already
# Of Pillow's readers those whose files people have; EPS for one would start Ghostscript with what a stranger wrote.
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000", "PPM")
_WIDE_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # grey pictures of 16 bits


def read_image(path: str | PathLike[str]) -> np.ndarray:
    """A picture file, upright (EXIF orientation applied), transparency over white, 16 bits
    reduced to 8, colours turned into sRGB where a profile is embedded.

    Returns:
        (H, W, 3) uint8 RGB; the first picture of an animation.

    Raises:
        InputError: if the file is missing, empty, damaged, larger than MOST_PIXELS or not a picture of FORMATS.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; check the name")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a picture in it")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; copy or export it again")
    try:
        with Image.open(path, formats=FORMATS) as file:
            check_size(path, file.width, file.height)
            return to_rgb(file)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: far too many pixels; {_SMALLER}") from error
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read it; change its permissions or copy it") from error
    except UnidentifiedImageError as error:
        read = "PNG, JPEG, WebP, AVIF, GIF, TIFF, BMP, JPEG 2000 and PPM"
        raise InputError(f"{path}: not a picture this program reads ({read}); export it as PNG or JPEG") from error
    except Exception as error:  # damaged files break Pillow's readers in many ways, RuntimeError of AVIF's for one
        raise InputError(f"{path}: damaged or truncated picture; copy or export it again") from error


_SMALLER = f"make it smaller, at most {LONGEST_SIDE} along a side and {MOST_PIXELS // 10**6} million in all"


def check_size(name: object, width: int, height: int) -> None:
    """Raise InputError if a picture, or a video's frames, have more pixels than can be worked with."""
    if max(width, height) > LONGEST_SIDE or width * height > MOST_PIXELS:
        raise InputError(f"{name}: {width} x {height} pixels; {_SMALLER}")


def to_rgb(picture: Image.Image) -> np.ndarray:
    """An opened picture as (H, W, 3) uint8 RGB, with the same conversions as `read_image`.

    Raises:
        Exception: of any kind, from Pillow, if the pixels, which it reads only now, are damaged.
    """
    with native_stderr_silenced() if picture.format == "TIFF" else nullcontext():  # libtiff tells of damage there
        picture = ImageOps.exif_transpose(picture)
        picture.load()
    if picture.mode in _WIDE_MODES:
        grey = (np.asarray(picture).clip(0, 65535).astype(np.uint32) + 128) // 257  # the nearest of 8 bits
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    profile = picture.info.get("icc_profile")
    if "A" in picture.mode or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return np.array(_to_srgb(picture, profile))


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB in sRGB: phones and printers store other colours together with a profile that says which."""
    if profile and picture.mode in ("RGB", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            return converted if converted is not None else picture.convert("RGB")
        except (ImageCms.PyCMSError, OSError):  # a broken profile: the numbers as they are
            return picture.convert("RGB")
    return picture.convert("RGB")


def write_png(path: str | PathLike[str], image: np.ndarray, **facts: str) -> None:
    """Write (H, W, 3) uint8 RGB as PNG, with facts as its text; the file appears only when complete.

    Raises:
        InputError: if the folder cannot be written.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image {image.shape} {image.dtype} must be (H, W, 3) uint8")
    path, text = Path(path), PngInfo()
    for name, fact in facts.items():
        text.add_text(name, fact)
    with output_file(path) as partial:
        Image.fromarray(image).save(partial, format="PNG", pnginfo=text)


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray]],
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    cell: int | None = None,
    gap: int = 4,
) -> np.ndarray:
    """Pictures in a labelled grid on white.

    Args:
        rows: rows of (H, W, 3) uint8 pictures of any size; rows may differ in length.
        row_labels: one text per row, drawn left of it; or none.
        column_labels: one text per column, drawn above it; or none.
        cell: side in pixels of the square that each picture is fitted into; None takes the largest side.
        gap: pixels between pictures.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    columns = max((len(row) for row in rows), default=0)
    if columns == 0:
        raise ValueError("a contact sheet needs at least one picture")
    if len(row_labels) not in (0, len(rows)) or len(column_labels) not in (0, columns):
        raise ValueError(f"{len(row_labels)} and {len(column_labels)} labels for {len(rows)} rows, {columns} columns")
    side = cell or max(max(image.shape[:2]) for row in rows for image in row)
    font = ImageFont.load_default(size=max(11, side // 12))
    left = max((round(font.getlength(text)) + 2 * gap for text in row_labels), default=0)
    line = sum(font.getmetrics()) + gap if isinstance(font, ImageFont.FreeTypeFont) else 16
    top = line if column_labels else 0
    step = side + gap
    sheet = Image.new("RGB", (left + gap + columns * step, top + gap + len(rows) * step), "white")
    draw = ImageDraw.Draw(sheet)
    for c, text in enumerate(column_labels):
        draw.text((left + gap + c * step + side / 2, top / 2 + gap / 2), text, fill="black", font=font, anchor="mm")
    for r, text in enumerate(row_labels):
        draw.text((left / 2, top + gap + r * step + side / 2), text, fill="black", font=font, anchor="mm")
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            picture = ImageOps.contain(Image.fromarray(np.ascontiguousarray(image)), (side, side))
            x = left + gap + c * step + (side - picture.width) // 2
            y = top + gap + r * step + (side - picture.height) // 2
            sheet.paste(picture, (x, y))
    return np.array(sheet)
