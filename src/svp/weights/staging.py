"""An import as one step: what it adds to a folder appears there when all is complete, its terms before its weights.

Everything is written to a hidden folder inside of the folder first. Then the record names the new files beside the old
ones, the files get their places, a model's index last, and the record drops what was replaced: whenever the process
dies, no weights lie there whose terms the record does not name.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from svp.errors import InputError
from svp.media.only_writer import only_writer
from svp.weights.checkpoint import SUFFIXES
from svp.weights.config import INDEX
from svp.weights.provenance import ImportedFile, owners, record_imports
from svp.weights.training_record import training_records

STAGE = ".import.{}.partial"


class Staging:
    """An import under way.

    Attributes:
        output: the folder that is added to.
        folder: where to write, under the same relative paths.
        records: of the files that the import was made of.
        needless: files of the folder, by their relative paths, that nothing asks for once the import is there.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output / STAGE.format(secrets.token_hex(4))
        self.records: list[ImportedFile] = []
        self.needless: list[str] = []

    def place(self, name: str) -> Path:
        """A file or folder as it will be: of this import where it has one, else what was there."""
        staged = self.folder / name
        return staged if staged.exists() else self.output / name

    def record(self, kind: str, path: Path, name: str, parts: tuple[str, ...]) -> None:
        """Note a published file that parts come from; arguments as in `ImportedFile.of`. Nothing came from none."""
        if parts:
            self.records.append(ImportedFile.of(kind, path, name, parts))

    @property
    def parts(self) -> tuple[str, ...]:
        """What the import adds, by the records."""
        return tuple(sorted({part for record in self.records for part in record.parts}))

    def finish(self) -> None:
        """Give everything its place; of a part that was there before only small files stay."""
        record_imports(self.output, self.records, replace=False)
        files = [path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path == Path(INDEX)):
            (self.output / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.folder / path, self.output / path)
        for folder in {path.parent for path in files} - {Path()}:
            for path in (self.output / folder).iterdir():
                if path.suffix in (*SUFFIXES, ".partial") and folder / path.name not in files:
                    path.unlink()
        for name in self.needless:
            (self.output / name).unlink(missing_ok=True)
        record_imports(self.output, self.records)


@contextmanager
def staged_import(source: Path, output: Path) -> Iterator[Staging]:
    """An import into a folder, which is made; a block that fails changes nothing there.

    What an import that was killed has left is removed.

    Raises:
        InputError: the source has sizes or values that no network can be made of, or the folder cannot be written.
    """
    staging = Staging(output)
    try:
        with only_writer(output, "importing into it"):
            try:
                for left in output.glob(STAGE.format("*")):
                    shutil.rmtree(left)
                staging.folder.mkdir(parents=True)
                yield staging
                staging.finish()
            finally:
                shutil.rmtree(staging.folder, ignore_errors=True)
    except (OSError, SafetensorError) as error:  # a full disk can be the latter
        where, why = getattr(error, "filename", None) or output, getattr(error, "strerror", None) or error
        raise InputError(f"{where}: cannot be read or written ({why}); choose another folder") from error
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"{source}: not the published network ({type(error).__name__}: {said}); give its own file"
        ) from error


def refuse_trained(output: Path, parts: Iterable[str]) -> None:
    """Only what a folder lacks may be added to a model that was not made by imports alone.

    Raises:
        InputError: naming the parts that would be lost.
    """
    foreign = (output / INDEX).is_file() and not owners(output)
    there = [part for part in parts if (output / part.split(".")[0]).is_dir()]
    if there and (foreign or any("imported" not in entry for entry in training_records(output))):
        raise InputError(f"{output}: its {', '.join(there)} would be lost; import into a new folder")
