"""How a video that is written says that it was generated: in its file, and visibly in its frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from svp.errors import InputError
from svp.media.certificate import Certificate, find_certificate

if TYPE_CHECKING:
    import numpy as np

DEFAULT_LABEL: Final = "AI-generated"


def one_line(text: str) -> str:
    """The text of a label, without blanks around it.

    Raises:
        InputError: it is empty, or more than a line.
    """
    if not text.strip() or not text.strip().isprintable():
        raise InputError(f"label {text!r}: no line of text; give one such as {DEFAULT_LABEL}")
    return text.strip()


@dataclass(frozen=True)
class Marking:
    """Marks of a generated video.

    Attributes:
        provenance: a signed C2PA manifest in the file, see `provenance.py`. Without it nothing that a machine reads
            says that the video was generated, which Article 50 of the EU's AI Act asks for.
        certificate: what signs it; None finds it, see `find_certificate`.
        label: text drawn into every frame; "" draws none.
    """

    provenance: bool = True
    certificate: Certificate | None = None
    label: str = ""

    def labelled(self, label: bool, text: str | None) -> Marking:
        """This marking with a visible label: the text given, else the default one where a label is wanted.

        Raises:
            InputError: a text is given, and is no line of text, or has a letter that cannot be drawn.
        """
        if text is not None:
            from svp.media.label import font_for

            font_for(line := one_line(text))
            return replace(self, label=line)
        return replace(self, label=DEFAULT_LABEL if label else "")

    def check(self) -> None:
        """Whether the signature can be made, before the video is.

        Raises:
            InputError: it cannot.
        """
        if self.provenance:
            (self.certificate or find_certificate()).check()

    def drawn(self, frames: Iterable[np.ndarray], width: int, height: int) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 RGB as they come, with the label where one is wanted.

        Raises:
            InputError: it cannot be drawn in that size.
        """
        if not self.label:
            return iter(frames)
        from svp.media.label import Label

        label = Label(self.label, width, height)
        return (label.drawn_on(frame) for frame in frames)

    def check_size(self, width: int, height: int) -> None:
        """Whether the label can be drawn into frames of that size.

        Raises:
            InputError: it cannot.
        """
        self.drawn((), width, height)

    def sign(self, path: Path, facts: dict[str, Any]) -> None:
        """Sign a complete mp4 in place, where that is wanted.

        Raises:
            InputError: it cannot be signed.
        """
        if self.provenance:
            from svp.media.provenance import sign_video

            label = {"label": self.label} if self.label else {}
            sign_video(path, facts | label, self.certificate or find_certificate())


MARKED: Final = Marking()
