"""How the tensors of a file differ from those of the network that it should hold: all of them, and one line of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from svp.errors import InputError

SHOWN: Final = 6  # tensors per kind in a message
Tensors = Sequence[tuple[str, str]]  # names with shapes in words


class DifferentTensorsError(InputError):
    """A file does not hold exactly the tensors of a network; the message shows some, the error has them all.

    Attributes:
        source: the file.
        differences: by kind (`missing`, `unexpected`, `of another shape`) the tensors' names, each with its shape as
            `2x7` or, of the last kind, `5 instead of 32`; kinds without any are left out.
    """

    def __init__(self, source: Path, differences: Mapping[str, Tensors]) -> None:
        super().__init__(source, differences)  # as arguments, so that it survives the way out of another process
        self.source = source
        self.differences = differences

    def __str__(self) -> str:
        cut = any(len(tensors) > SHOWN for tensors in self.differences.values())
        return self.told("`svp import` with --differences FILE lists all") if cut else self.told()

    def told(self, where: str = "") -> str:
        """The message; `where` says where the whole list is."""
        found = "; ".join(_listing(kind, tensors) for kind, tensors in self.differences.items())
        rest = f" ({where})" if where else ""
        return f"{self.source}: not the published network: {found}; give its own file{rest}"

    def lines(self) -> str:
        """The whole list, a tensor per line: kind, name and shapes with tabs between them."""
        rows = ((kind, *tensor) for kind, tensors in self.differences.items() for tensor in tensors)
        return "".join("\t".join(row) + "\n" for row in rows)


def _listing(kind: str, tensors: Tensors) -> str:
    shown = ", ".join(f"{name} ({shapes})" for name, shapes in tensors[:SHOWN])
    rest = f" and {len(tensors) - SHOWN} more" if len(tensors) > SHOWN else ""
    return f"{len(tensors)} {kind}: {shown}{rest}"
