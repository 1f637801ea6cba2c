"""One source of `svp prepare`, as a worker does it: what is current is kept, what is not is made, and told."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from svp.datasets.coefficients import CoefficientOptions
from svp.datasets.extract import ExtractOptions, cut_alike, reason_of, refresh_alpha
from svp.datasets.manifest import ClipRow, Split
from svp.datasets.prepared import DatasetWriter
from svp.datasets.sheet import sheet_path
from svp.datasets.sources import ClipSource
from svp.errors import InputError
from svp.media.hashing import sha256_file, sha256_json, sha256_text
from svp.workers import this_worker

VERSION = 1  # raised when the same options give files that do not go with the older ones
INTERNAL = "internal error: "  # such a clip is tried again by the next run
KEY_DIGITS = 16

State = Literal["made", "kept", "gone", "namesake"]


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
    """A source, everything a worker needs to know about it, and the rows that the dataset has of it.

    `folder` tells the folder it was found in from others: `manifest.ClipRow.folder`. `rehash` reads the source to see
    whether it has changed, whatever its date.
    """

    source: ClipSource
    folder: str
    layout: Layout
    split: Split
    present: tuple[ClipRow, ...]
    writer: DatasetWriter
    options: ExtractOptions | CoefficientOptions
    rehash: bool = False

    @property
    def size(self) -> int:
        """Bytes of the file; 0 if there is none."""
        return os.path.getsize(self.source.path) if os.path.isfile(self.source.path) else 0

    @property
    def labels(self) -> dict[str, Any]:
        """What a row says of whom and what the source shows; another label makes nothing anew."""
        return {**self.source.model_dump(include={"identity", "emotion", "intensity"}), "split": self.split}

    def row(self, digest: str = "", stamp: str = "") -> ClipRow:
        """The row with what is known of the source, whose content has this digest, whose files this stamp."""
        source = self.source
        span = source.model_dump(mode="json", include={"start", "seconds", "box", "box_height", "audio_offset"})
        return ClipRow(
            clip_id=source.clip_id,
            source=source.name,
            folder=self.folder,
            sha256=digest,
            stamp=stamp,
            **self.labels,
            has_video=self.layout.size > 0,
            recipe=f"{options_key(self.options, self.layout)}-{sha256_json(span)[:KEY_DIGITS]}",
        )


class SourceDone(NamedTuple):
    """What became of a source.

    Attributes:
        rows: of its clips.
        state: `made` or rejected now; `kept` from an earlier run, so that nothing but rows had to be written; kept as
            its file is `gone`, or because another folder's file has its name: a `namesake`.
        size: bytes of its file.
        worker: process and machine that did it.
    """

    rows: list[ClipRow]
    state: State
    size: int
    worker: str


def options_key(options: ExtractOptions | CoefficientOptions, layout: Layout) -> str:
    """What all clips of a dataset follow from, beside their sources; `cut_alike` tells how long they are, and the sound
    features do not count."""
    values = options.model_dump(include=set(options.files))
    return sha256_json({**values, "encoder": layout.expression_encoder, "version": VERSION})[:KEY_DIGITS]


def fits_options(
    rows: Sequence[ClipRow], options: ExtractOptions | CoefficientOptions, layout: Layout, audio_encoder: str
) -> bool:
    """Whether the files of the clips of a source, if it has any, are what today's options give."""
    made_with = {(row.recipe.split("-")[0], row.audio_encoder) for row in rows if row.status == "ok"}
    return not made_with or (
        made_with == {(options_key(options, layout), audio_encoder)} and cut_alike(rows, options.max_seconds)
    )


def prepare_source(job: SourceJob) -> SourceDone:
    """Prepare one source, as far as the dataset does not have it already."""
    source = job.source
    try:
        reason = source.problem
        identified = ("", "") if reason else _identified(job)
    except FileNotFoundError:
        reason = "no such file; every machine must see it under this path"
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); change its permissions or copy it again"
    if reason:
        if kept := _unread(job, job.labels):
            return _done(job, kept, "gone")
        return _done(job, [job.row().rejected(reason)], "made")
    base = job.row(*identified)
    if any(row.folder not in ("", base.folder) and row.sha256 not in ("", base.sha256) for row in job.present) and (
        kept := _unread(job, {})
    ):
        return _done(job, kept, "namesake")
    rows = _current(job, base)
    stale_sound = rows is not None and any(
        row.status == "ok" and row.audio_encoder != job.writer.audio_encoder for row in rows
    )
    if rows is not None and not stale_sound:
        return _done(job, rows, "kept")
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
    return _done(job, rows, "made")


def source_died(job: SourceJob) -> SourceDone:
    """The result of a source that kills the process that reads it: rejected."""
    try:
        identified = _identified(job)
    except OSError:
        identified = ("", "")
    rows = [job.row(*identified).rejected(f"{INTERNAL}the process that reads it dies")]
    return _done(job, rows, "made")


def _unread(job: SourceJob, labels: Mapping[str, Any]) -> list[ClipRow]:
    """The rows that the dataset has of a source, with these labels and today's verdicts, where the source is not read;
    none if they have to leave, as today's options give other clips."""
    measured = all(row.frames for row in job.present)
    if not (measured and fits_options(job.present, job.options, job.layout, job.writer.audio_encoder)):
        return []
    rows = [row.model_copy(update=labels) for row in job.present]
    return [row.rejected(why) if (why := job.options.verdict(row)) else row for row in rows]


def _current(job: SourceJob, base: ClipRow) -> list[ClipRow] | None:
    """The rows of a source whose clips are there, with today's labels and verdicts; None if it has to be read."""
    labels = job.labels | {"source": base.source, "folder": base.folder, "stamp": base.stamp}
    if not cut_alike(job.present, job.options.max_seconds):
        return None
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


def _done(job: SourceJob, rows: list[ClipRow], state: State) -> SourceDone:
    """Commit the rows of a source, only the new ones if nothing was made, and forget clips that it no longer gives."""
    present = {row.clip_id: row for row in job.present}
    new = [row for row in rows if row != present.get(row.clip_id)]
    gone = present.keys() - {row.clip_id for row in rows}
    if new or gone:
        for identity in {row.identity for row in (*rows, *job.present)}:
            sheet_path(job.writer.root, identity).unlink(missing_ok=True)
    for clip_id in gone:
        job.writer.remove(clip_id)
    for row in rows if state == "made" else new:  # when it was begun, all its rows were marked
        if row.status == "rejected":
            job.writer.reject(row)
        else:
            job.writer.commit(row)
    return SourceDone(rows, state, job.size, this_worker())


def _identified(job: SourceJob) -> tuple[str, str]:
    """SHA-256 of a source with the sound beside it, and their stamp; what has the stamp of a row is not read again.

    Raises:
        OSError: a file cannot be read.
    """
    files = [path for path in (job.source.path, job.source.sound) if path is not None]
    stamps = [_stamp(path) for path in files]
    stamp = " ".join(stamps)
    for row in job.present:
        if row.sha256 and row.stamp == stamp and not job.rehash:
            return row.sha256, stamp
    digests = [digest_once(*pair) for pair in zip(files, stamps, strict=True)]
    return digests[0] if len(digests) == 1 else sha256_text("".join(digests)), stamp


def _stamp(path: Path) -> str:
    """Size, time of change and number of a file, which changes when another file takes its name."""
    state = path.stat()
    return f"{state.st_size}-{state.st_mtime_ns}-{state.st_ino}"


@lru_cache(maxsize=4)  # the clips of a long video follow each other
def digest_once(path: Path, stamp: str) -> str:
    """SHA-256 of a file, read again when its stamp is another one."""
    return sha256_file(path)
