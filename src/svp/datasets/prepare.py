"""`svp prepare`: a folder of clips becomes a prepared dataset; what cannot be used is set aside with its reason."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from svp.datasets.coefficients import CoefficientOptions, coefficient_sources, extract_coefficients
from svp.datasets.extract import ExtractOptions, extract_clips, reason_of, shared_audio_encoder
from svp.datasets.manifest import ClipRow, Split
from svp.datasets.prepared import DATASET_NAME, DatasetWriter
from svp.datasets.sources import ClipSource, assign_splits, folder_sources
from svp.errors import InputError
from svp.face.deep3d import ENCODER_ID
from svp.face.model import FaceModel
from svp.media.hashing import sha256_file, sha256_text
from svp.media.video import FPS
from svp.workers import run_jobs

INTERNAL = "internal error: "  # such a clip is tried again by the next run


@dataclass(frozen=True)
class PrepareReport:
    """What a run left in the dataset.

    Attributes:
        accepted: rows of the clips that can be used.
        rejected: rows of those that cannot.
        kept: number of source files that an earlier run had done.
    """

    accepted: tuple[ClipRow, ...]
    rejected: tuple[ClipRow, ...]
    kept: int

    def __str__(self) -> str:
        frames = sum(row.frames for row in self.accepted)
        identities = len({row.identity for row in self.accepted})
        lines = [
            f"{len(self.accepted)} clips of {identities} identities accepted, {frames} frames, {frames / FPS:.0f} s"
        ]
        if self.kept:
            lines.append(f"{self.kept} source files were done before")
        if self.rejected:
            lines.append(f"{len(self.rejected)} rejected:")
        reasons: defaultdict[str, list[str]] = defaultdict(list)
        for row in self.rejected:
            reasons[re.sub(r"\d+(\.\d+)?", "n", row.reason)].append(row.source)
        for reason, names in sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0])):
            lines.append(f"  {len(names):5d}  {reason} (such as {min(names)})")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Layout:
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
class _Job:
    """One source file, everything a worker needs to know about it."""

    source: ClipSource
    layout: _Layout
    split: Split
    present: tuple[ClipRow, ...]  # rows that the dataset has of it
    writer: DatasetWriter
    options: ExtractOptions | CoefficientOptions


def prepare_folder(
    source: Path | str,
    dataset: Path | str,
    *,
    size: int,
    audio_encoder: str,
    workers: int = 1,
    resume: bool = True,
    max_seconds: float = 10.0,
    min_seconds: float = 0.4,
    max_missing: float = 0.1,
    correct_offset: bool = False,
    require_sound: bool = False,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    progress: bool = True,
) -> PrepareReport:
    """Prepare the clips of a folder (see `sources.folder_sources` for what is taken and how it is labelled).

    A source that is unreadable, empty, faceless or too short is set aside; the others go on. A run killed at any moment
    and started again gives the same dataset, and so does any number of workers.

    Args:
        source: folder with video files, optionally with `clips.csv`.
        dataset: where the prepared dataset is or will be.
        size, audio_encoder, max_seconds, min_seconds, max_missing, correct_offset, require_sound: ExtractOptions.
        workers: processes.
        resume: go on with a dataset that exists; without it, one that exists is an error.
        val_fraction, test_fraction: shares of the identities; no identity is in two splits.
        seed: of the draw of identities.
        progress: show a bar on stderr.

    Raises:
        InputError: the source, an option or the dataset's folder cannot be used.
    """
    options = ExtractOptions.checked(
        size=size,
        audio_encoder=audio_encoder,
        max_seconds=max_seconds,
        min_seconds=min_seconds,
        max_missing=max_missing,
        correct_offset=correct_offset,
        require_sound=require_sound,
    )
    layout = _Layout("folder", folder_sources, extract_clips, FaceModel.load().encoder_id, size)
    choices = {"val_fraction": val_fraction, "test_fraction": test_fraction, "seed": seed}
    return _prepare(layout, Path(source), Path(dataset), options, choices, workers, resume, progress)


def prepare_coefficients(
    source: Path | str,
    dataset: Path | str,
    *,
    audio_encoder: str,
    fps: float = 25.0,
    workers: int = 1,
    resume: bool = True,
    max_seconds: float = 10.0,
    min_seconds: float = 0.4,
    require_sound: bool = False,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    progress: bool = True,
) -> PrepareReport:
    """Prepare tracks of 3DMM coefficients, clips without pictures: only stage `prior` learns from them.

    Args:
        source: folder with .mat files (see `coefficients.coefficient_sources` for names, labels and sound).
        fps, audio_encoder, max_seconds, min_seconds, require_sound: CoefficientOptions.
        dataset, workers, resume, val_fraction, test_fraction, seed, progress: as in `prepare_folder`.

    Raises:
        InputError: the source, an option or the dataset's folder cannot be used.
    """
    options = CoefficientOptions.checked(
        fps=fps,
        audio_encoder=audio_encoder,
        max_seconds=max_seconds,
        min_seconds=min_seconds,
        require_sound=require_sound,
    )
    layout = _Layout("coefficients", coefficient_sources, extract_coefficients, ENCODER_ID, 0)
    choices = {"val_fraction": val_fraction, "test_fraction": test_fraction, "seed": seed}
    return _prepare(layout, Path(source), Path(dataset), options, choices, workers, resume, progress)


def _prepare(
    layout: _Layout,
    source: Path,
    dataset: Path,
    options: ExtractOptions | CoefficientOptions,
    choices: dict[str, Any],
    workers: int,
    resume: bool,
    progress: bool,
) -> PrepareReport:
    """Prepare a folder; `choices` are the arguments of `assign_splits`."""
    val_fraction, test_fraction = choices["val_fraction"], choices["test_fraction"]
    if workers < 1:
        raise InputError(f"workers {workers}: at least one process is needed; give 1 or more")
    if min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction > 1:
        raise InputError(
            f"fractions {val_fraction} (val) and {test_fraction} (test): give shares that sum to at most 1"
        )
    if not resume and (dataset / DATASET_NAME).exists():
        raise InputError(f"{dataset}: is already a prepared dataset; resume it or name another folder")
    sources = layout.find(source, dataset)
    writer = DatasetWriter(
        dataset,
        {"layout": layout.name, **options.model_dump(exclude={"size", "audio_encoder"}), **choices},
        layout.expression_encoder,
        shared_audio_encoder(options.audio_encoder).id,
        layout.size,
    )
    done = writer.done()
    kept: dict[str, Split] = {row.identity: row.split for row in done.values()}
    splits = assign_splits([clip.identity for clip in sources], kept, **choices)
    jobs = _jobs(layout, sources, splits, writer, options)
    n_kept = 0
    columns = (
        TextColumn("preparing"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task("", total=len(jobs))
        counts: Counter[str] = Counter()
        for rows, unchanged in run_jobs(jobs, _prepare_source, workers, _died):
            n_kept += unchanged
            counts.update(row.status for row in rows)
            bar.update(task, advance=1, description=f"{counts['ok']} clips, {counts['rejected']} rejected")
    everything = writer.finish()
    return PrepareReport(
        tuple(row for row in everything if row.status == "ok"),
        tuple(row for row in everything if row.status == "rejected"),
        n_kept,
    )


def _jobs(
    layout: _Layout,
    sources: Sequence[ClipSource],
    splits: dict[str, Split],
    writer: DatasetWriter,
    options: ExtractOptions | CoefficientOptions,
) -> list[_Job]:
    """One job per source, large files first, so that no worker is left alone with one at the end."""
    present = defaultdict(list)
    for row in writer.done().values():
        present[row.source].append(row)
    jobs = [_Job(clip, layout, splits[clip.identity], tuple(present[clip.name]), writer, options) for clip in sources]
    jobs.sort(key=lambda job: (-job.source.path.stat().st_size if job.source.path.is_file() else 0, job.source.name))
    return jobs


def _died(job: _Job) -> tuple[list[ClipRow], bool]:
    """The result of a source that kills the process that reads it: rejected."""
    base = _base_row(job, _digest(job.source))
    return _settle(job, [base.rejected(f"{INTERNAL}the process that reads it dies")]), False


def _prepare_source(job: _Job) -> tuple[list[ClipRow], bool]:
    """Prepare one source unless the dataset has it already; (its rows, whether nothing had to be done)."""
    source = job.source
    if not source.path.is_file():
        base = _base_row(job, "")
        return _settle(job, [base.rejected("no such file; correct its name in clips.csv")]), False
    base = _base_row(job, _digest(source))
    if _is_current(job, base.sha256):
        labels = base.model_dump(include={"identity", "emotion", "intensity", "split"})
        rows = [row.model_copy(update=labels) for row in job.present]
        for row, old in zip(rows, job.present, strict=True):
            if row != old:
                job.writer.commit(row)
        return rows, True
    try:
        rows = job.layout.extract(source, base, job.writer, job.options)
    except InputError as error:
        rows = [base.rejected(reason_of(error, source.path))]
    except Exception as error:  # one clip never stops the rest; the next run tries it again
        rows = [base.rejected(f"{INTERNAL}{type(error).__name__}: {error}")]
    return _settle(job, rows), False


def _settle(job: _Job, rows: list[ClipRow]) -> list[ClipRow]:
    """Commit the rows of a source and forget clips that it no longer gives."""
    for clip_id in {row.clip_id for row in job.present} - {row.clip_id for row in rows}:
        job.writer.remove(clip_id)
    for row in rows:
        if row.status == "ok":
            job.writer.commit(row)
        else:
            job.writer.reject(row)
    return rows


def _base_row(job: _Job, digest: str) -> ClipRow:
    source = job.source
    return ClipRow(
        clip_id=source.clip_id,
        source=source.name,
        sha256=digest,
        identity=source.identity,
        emotion=source.emotion,
        intensity=source.intensity,
        split=job.split,
        has_video=job.layout.size > 0,
    )


def _digest(source: ClipSource) -> str:
    """SHA-256 of a source, and of the sound beside it."""
    digest = sha256_file(source.path)
    return digest if source.sound is None else sha256_text(digest + sha256_file(source.sound))


def _is_current(job: _Job, digest: str) -> bool:
    """Whether all clips of this very file are there, with the sound where it is wanted."""
    wanted = job.source.audio_offset
    if wanted is None and not job.options.correct_offset:
        wanted = 0.0
    return len(job.present) > 0 and all(
        row.sha256 == digest
        and row.parts == len(job.present)
        and not row.reason.startswith(INTERNAL)
        and (wanted is None or row.audio_offset == wanted or not row.has_sound)
        for row in job.present
    )
