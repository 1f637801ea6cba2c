"""A visible label in the corner of every frame.

Shapes: H x W pixels of a frame, h x w of the label.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from svp.errors import InputError
from svp.media.marking import one_line

TEXT_HEIGHT: Final = 1 / 14  # of the frame's
SMALLEST: Final = 8  # pixels of type; below it nobody reads it
MARGIN: Final = 0.35  # around the text, of the size of its type


class Label:
    """White text on a dark plate at the lower left, as large as it fits.

    Args:
        text: one line.
        width, height: of the frames, in pixels.

    Raises:
        InputError: if the text is empty, too long for the frames, or has a letter that the font lacks.
    """

    def __init__(self, text: str, width: int, height: int) -> None:
        self.text = one_line(text)
        font = font_for(self.text)
        for size in range(max(SMALLEST, round(TEXT_HEIGHT * height)), SMALLEST - 1, -1):
            plate = _plate(self.text, ImageFont.truetype(font.fname, size), round(MARGIN * size))
            if plate.width <= width and plate.height <= height:
                break
        else:
            raise InputError(f"label {text}: too long to be read in {width} x {height} pixels; give a shorter one")
        rgba = np.asarray(plate, np.float32)
        self._opacity = rgba[..., 3:] / 255  # (h, w, 1)
        self._colour = rgba[..., :3] * self._opacity

    def drawn_on(self, frame: np.ndarray) -> np.ndarray:
        """A copy of a frame (H, W, 3) uint8 RGB with the label."""
        frame = frame.copy()
        corner = frame[-len(self._colour) :, : self._colour.shape[1]]
        corner[...] = np.rint(corner * (1 - self._opacity) + self._colour)
        return frame


def font_for(text: str):  # type: ignore[no-untyped-def]  # matplotlib's own class, without types
    """The font that draws a text: DejaVu Sans, which comes with matplotlib.

    Raises:
        InputError: it lacks one of the letters.
    """
    import matplotlib
    from matplotlib.ft2font import FT2Font

    font = FT2Font(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"))
    if strange := [letter for letter in text if font.get_char_index(ord(letter)) == 0]:
        raise InputError(f"label {text}: the font has no {strange[0]}; write Latin, Greek or Cyrillic letters")
    return font


def _plate(text: str, font: ImageFont.FreeTypeFont, margin: int) -> Image.Image:
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
    plate = Image.new("RGBA", (right - left + 2 * margin, bottom - top + 2 * margin), (0, 0, 0, 150))
    ImageDraw.Draw(plate).text((margin - left, margin - top), text, font=font, fill=(255, 255, 255, 255))
    return plate
