"""One source of `svp prepare`, as a worker does it: what is current is kept, what is not is made, and told."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from svp.datasets.coefficients import CoefficientOptions
from svp.datasets.extract import ExtractOptions, reason_of, refresh_alpha
from svp.datasets.manifest import ClipRow, Split
from svp.datasets.prepared import DatasetWriter
from svp.datasets.sheet import sheet_path
from svp.datasets.sources import ClipSource
from svp.errors import InputError
from svp.media.hashing import sha256_file, sha256_json, sha256_text

VERSION = 1  # raised when the same options give other files
INTERNAL = "internal error: "  # such a clip is tried again by the next run
KEY_DIGITS = 16


@dataclass(frozen=True)
class Layout:
    """A kind of source.

    Attributes:
        name: as on the command line.
        find: the sources of a folder, without those in a second folder.
        extract: makes the clips of a source; see `extract.extract_clips`.
        expression_encoder: what measures their expressions.
        size: side of their pictures in pixels, 0 if they have none.
    """

    name: str
    find: Callable[[Path, Path], list[ClipSource]]
    extract: Callable[[ClipSource, ClipRow, DatasetWriter, Any], list[ClipRow]]
    expression_encoder: str
    size: int


@dataclass(frozen=True)
class SourceJob:
    """A source, everything a worker needs to know about it, and the rows that the dataset has of it."""

    source: ClipSource
    layout: Layout
    split: Split
    present: tuple[ClipRow, ...]
    writer: DatasetWriter
    options: ExtractOptions | CoefficientOptions

    @property
    def size(self) -> int:
        """Bytes of the file; 0 if there is none."""
        return self.source.path.stat().st_size if self.source.path.is_file() else 0

    def row(self, digest: str) -> ClipRow:
        """The row with what is known of the source, whose content has this digest."""
        source = self.source
        span = source.model_dump(mode="json", include={"start", "seconds", "box", "box_height", "audio_offset"})
        return ClipRow(
            clip_id=source.clip_id,
            source=source.name,
            sha256=digest,
            identity=source.identity,
            emotion=source.emotion,
            intensity=source.intensity,
            split=self.split,
            has_video=self.layout.size > 0,
            recipe=f"{options_key(self.options, self.layout)}-{sha256_json(span)[:KEY_DIGITS]}",
        )


class SourceDone(NamedTuple):
    """What became of a source.

    Attributes:
        rows: of its clips.
        kept: whether nothing but rows had to be written.
        size: bytes of its file.
    """

    rows: list[ClipRow]
    kept: bool
    size: int


def options_key(options: ExtractOptions | CoefficientOptions, layout: Layout) -> str:
    """What all clips of a dataset follow from, beside their sources; the sound features do not count."""
    values = options.model_dump(include=set(options.files))
    return sha256_json({**values, "encoder": layout.expression_encoder, "version": VERSION})[:KEY_DIGITS]


def prepare_source(job: SourceJob) -> SourceDone:
    """Prepare one source, as far as the dataset does not have it already."""
    source = job.source
    if source.problem or not source.path.is_file():
        reason = source.problem or "no such file; correct its name in clips.csv"
        return SourceDone(_settle(job, [job.row("").rejected(reason)]), False, job.size)
    try:
        base = job.row(_digest(source))
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); change its permissions or copy it again"
        return SourceDone(_settle(job, [job.row("").rejected(reason)]), False, job.size)
    rows = _current(job, base)
    stale_sound = rows is not None and any(
        row.status == "ok" and row.audio_encoder != job.writer.audio_encoder for row in rows
    )
    if rows is not None and not stale_sound:
        return SourceDone(_settle(job, rows, marked=False), True, job.size)
    for row in job.present:  # should this run be killed, no row is believed whose files may be new ones
        stale = {"audio_encoder": ""} if stale_sound else {"recipe": ""}
        job.writer.commit(row.model_copy(update=stale))
    try:
        if rows is not None:
            rows = refresh_alpha(source, rows, job.writer, job.options.audio_encoder)
        else:
            rows = job.layout.extract(source, base, job.writer, job.options)
    except InputError as error:
        rows = [base.rejected(reason_of(error, source.path))]
    except Exception as error:  # one clip never stops the rest; the next run tries it again
        rows = [base.rejected(f"{INTERNAL}{type(error).__name__}: {error}")]
    return SourceDone(_settle(job, rows), False, job.size)


def source_died(job: SourceJob) -> SourceDone:
    """The result of a source that kills the process that reads it: rejected."""
    base = job.row(_digest(job.source))
    return SourceDone(_settle(job, [base.rejected(f"{INTERNAL}the process that reads it dies")]), False, job.size)


def _current(job: SourceJob, base: ClipRow) -> list[ClipRow] | None:
    """The rows of a source whose clips are there, with today's labels and verdicts; None if it has to be read."""
    labels = base.model_dump(include={"source", "identity", "emotion", "intensity", "split"})
    rows = []
    for row in job.present:
        same = (row.sha256, row.recipe, row.parts) == (base.sha256, base.recipe, len(job.present))
        if not same or row.reason.startswith(INTERNAL):
            return None
        row = row.model_copy(update=labels)
        if row.frames:  # it was measured
            if reason := job.options.verdict(row):
                row = row.rejected(reason)
            elif row.status == "rejected":
                return None
        rows.append(row)
    return rows or None


def _settle(job: SourceJob, rows: list[ClipRow], marked: bool = True) -> list[ClipRow]:
    """Commit the rows of a source, only the new ones if none was marked, and forget clips that it no longer gives."""
    present = {row.clip_id: row for row in job.present}
    new = [row for row in rows if row != present.get(row.clip_id)]
    gone = present.keys() - {row.clip_id for row in rows}
    if new or gone:
        for identity in {row.identity for row in (*rows, *job.present)}:
            sheet_path(job.writer.root, identity).unlink(missing_ok=True)
    for clip_id in gone:
        job.writer.remove(clip_id)
    for row in rows if marked else new:
        if row.status == "rejected":
            job.writer.reject(row)
        else:
            job.writer.commit(row)
    return rows


def _digest(source: ClipSource) -> str:
    """SHA-256 of a source, and of the sound beside it."""
    digest = _file_digest(source.path)
    return digest if source.sound is None else sha256_text(digest + _file_digest(source.sound))


def _file_digest(path: Path) -> str:
    state = path.stat()
    return _digest_once(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)  # the clips of a long video follow each other
def _digest_once(path: Path, changed: int, size: int) -> str:
    return sha256_file(path)
