"""The manifest of a folder of videos: `manifest.jsonl`, a line per job, added as soon as the job is settled.

A later line about an output replaces an earlier one; when a run ends the file is written anew in the order of the jobs.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from svp.media.whole_file import whole_file

MANIFEST = "manifest.jsonl"


class VideoRow(BaseModel):
    """What became of one job.

    Attributes:
        output: the video, relative to the manifest's folder.
        line: of the jobs file.
        status: `ok`; `failed` where the work went wrong, `rejected` where the line cannot be used.
        reason: why not.
        key: of the inputs (`VideoJob.key`); a job whose key is another one is done again.
        signed: whether it carries its provenance.
        frames: of the video, 25 a second.
        width, height: in pixels.
        took: seconds of work.
        worker: process id and machine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str
    line: int
    status: Literal["ok", "failed", "rejected"]
    reason: str = ""
    key: str = ""
    signed: bool = False
    frames: int = 0
    width: int = 0
    height: int = 0
    took: float = 0.0
    worker: str = ""


def read_manifest(folder: Path) -> dict[str, VideoRow]:
    """Rows by output; a line that a killed run left unfinished is passed over."""
    rows: dict[str, VideoRow] = {}
    path = folder / MANIFEST
    for line in path.read_bytes().split(b"\n") if path.exists() else []:  # a broken one may end within a character
        try:
            row = VideoRow.model_validate_json(line)
        except ValidationError:
            continue
        rows[row.output] = row
    return rows


def add_row(folder: Path, row: VideoRow) -> None:
    """Add a row to the file."""
    with (folder / MANIFEST).open("a", encoding="utf-8") as file:
        file.write(row.model_dump_json() + "\n")


def write_manifest(folder: Path, rows: Iterable[VideoRow]) -> None:
    """Write all rows; the file is there whole at any time."""
    with whole_file(folder / MANIFEST) as partial:
        partial.write_text("".join(row.model_dump_json() + "\n" for row in rows), encoding="utf-8")
