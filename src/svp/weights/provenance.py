"""What a folder of imported weights was made of: `weights.json` beside them, a record per imported file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from svp.media.hashing import sha256_file
from svp.media.whole_file import whole_file
from svp.weights.config import read_record
from svp.weights.registry import UNKNOWN, Weight, find_weight

RECORD_NAME = "weights.json"


class ImportedFile(BaseModel):
    """One file of somebody else's that a folder's weights come from.

    Attributes:
        kind: of `svp import`.
        file: its name, relative to what was imported.
        sha256: of its bytes.
        size: bytes.
        parts: what of the model comes from it, `unet.spatial` say.
        title, source, licence, use: as in the registry when it was imported.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    file: str
    sha256: str
    size: int
    parts: tuple[str, ...]
    title: str
    source: str
    licence: str
    use: str

    @classmethod
    def of(cls, kind: str, path: Path, name: str, parts: tuple[str, ...]) -> ImportedFile:
        """The record of a file; the file is read once, in blocks.

        Raises:
            OSError: it cannot be read.
        """
        weight = find_weight(kind)
        return cls(
            kind=kind,
            file=name,
            sha256=sha256_file(path),
            size=path.stat().st_size,
            parts=parts,
            title=weight.title,
            source=weight.source,
            licence=weight.licence,
            use=weight.use,
        )

    def of_unknown_origin(self) -> ImportedFile:
        """The record where the file is not the published one: no terms are known."""
        return self.model_copy(update=UNKNOWN)

    @property
    def weight(self) -> Weight:
        """What the registry said of it; its files are not told."""
        return Weight(self.kind, self.title, self.source, self.licence, self.use, ())


def imported_files(folder: Path) -> list[ImportedFile]:
    """The records of a folder; none if nothing in it was imported.

    Raises:
        InputError: if the record is damaged.
    """
    return read_record(folder / RECORD_NAME, ImportedFile.model_validate, "imports", "import the weights again")


def record_imports(folder: Path, files: Iterable[ImportedFile], *, replace: bool = True) -> None:
    """Add records; parts that came from another file until now come from these.

    Args:
        replace: drop what told of these parts before; otherwise it stays, and the new records follow it.
    """
    new = list(files)
    replaced = {part for entry in new for part in entry.parts} if replace else set()
    kept = []
    for entry in imported_files(folder):
        parts = tuple(part for part in entry.parts if part not in replaced)
        if parts:
            kept.append(entry.model_copy(update={"parts": parts}))
    entries = [entry.model_dump() for entry in [*kept, *new]]
    with whole_file(folder / RECORD_NAME) as partial:
        partial.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")


def owners(folder: Path) -> Mapping[str, str]:
    """Which kind of import each part of a folder comes from."""
    return {part: entry.kind for entry in imported_files(folder) for part in entry.parts}


def imported_weights(folder: Path) -> list[Weight]:
    """The weights that a folder's files come from, each once."""
    return list(dict.fromkeys(entry.weight for entry in imported_files(folder)))
