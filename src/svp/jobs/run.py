"""`svp generate --jobs`: the videos of a jobs file, by workers on this machine or on a cluster."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from svp.cores import CORES
from svp.diffusion.model_folder import find_model, tell_terms_of
from svp.errors import InputError
from svp.jobs.features import Feature, clip_frames, features_of
from svp.jobs.manifest import MANIFEST, VideoRow, add_row, read_manifest, write_manifest
from svp.jobs.request import BadLine, VideoJob, read_jobs
from svp.jobs.work import VideoTask, feature_died, make_feature, make_video, video_died, video_failed
from svp.media.marking import MARKED, Marking
from svp.media.only_writer import only_writer
from svp.media.video import FPS
from svp.workers import Workers

FEATURES = ".features"


@dataclass(frozen=True)
class JobsReport:
    """What a run left.

    Attributes:
        rows: one per line of the jobs file, in order.
        kept: how many videos an earlier run had made.
        seconds: how long this run took.
    """

    rows: tuple[VideoRow, ...]
    kept: int
    seconds: float

    @property
    def complete(self) -> bool:
        return all(row.status == "ok" for row in self.rows)

    def __str__(self) -> str:
        counts = Counter(row.status for row in self.rows)
        made = counts["ok"] - self.kept
        text = f"{counts['ok']} of {len(self.rows)} videos are there"
        text += f", {self.kept} of them from before" if self.kept else ""
        if made:
            text += f"; {made} made in {self.seconds:.0f} s, {60 * made / self.seconds:.1f} a minute"
        bad = [f"  line {row.line}: {row.status}: {row.reason}" for row in self.rows if row.status != "ok"]
        return "\n".join([text, *bad[:20], *([f"  and {len(bad) - 20} more, see {MANIFEST}"] if len(bad) > 20 else [])])


def generate_all(
    jobs_file: Path,
    folder: Path,
    *,
    workers: int | None = None,
    ray: str | None = None,
    max_memory: float | None = None,
    marking: Marking = MARKED,
    progress: bool = True,
) -> JobsReport:
    """Make the videos of a jobs file, all that can be made; the others are set aside with their reason.

    What an earlier run has made of the very same inputs is kept, an interrupted video is gone on with. Portraits, style
    clips and clips that move heads are measured first, once each, and kept in `FEATURES`.

    Args:
        jobs_file: a JSON object per line, see `request.py`.
        folder: for the videos and their manifest.
        workers: processes; by default as many as there are graphics cards, or else processors and memory for them.
        ray: address of a Ray cluster; its machines must see the same files under the same paths.
        max_memory: GB that each worker may take: its model is fitted to each job, and put back. A job that does not fit
            fails. What an earlier run has made within another limit is kept, though its chunks may be others.
        marking: how each video says that it was generated; the machines of a cluster need its certificate under the
            same path, or each makes its own.
        progress: show a bar on stderr.

    Raises:
        InputError: the file cannot be read, there is no such cluster, or another run makes videos in the folder.
    """
    lines = read_jobs(jobs_file)
    with only_writer(folder, "making videos in it"):
        return _make_all(lines, folder, workers, ray, max_memory, marking, progress)


def _make_all(
    lines: list[VideoJob | BadLine],
    folder: Path,
    workers: int | None,
    ray: str | None,
    max_memory: float | None,
    marking: Marking,
    progress: bool,
) -> JobsReport:
    begin = time.perf_counter()
    store = (folder / FEATURES).resolve()
    store.mkdir(parents=True, exist_ok=True)
    before = read_manifest(folder)
    if (folder / MANIFEST).exists():
        write_manifest(folder, before.values())  # a killed run may have left half a line, on which ours would go on
    settled: dict[int, VideoRow] = {}
    todo: list[VideoJob] = []
    for job in lines:
        if isinstance(job, BadLine):
            row = VideoRow(output=job.output, line=job.line, status="rejected", reason=job.reason)
            settled[job.line] = row
            add_row(folder, row)
        elif (old := before.get(job.output)) and _is_same(old, job, marking) and (folder / job.output).is_file():
            settled[job.line] = old.model_copy(update={"line": job.line})
        else:
            todo.append(job)
    kept = sum(row.status == "ok" for row in settled.values())
    todo.sort(key=lambda job: (job.model[0], job.model[1] or "", job.line))  # so that a worker seldom changes its model
    tell_terms_of(*(find_model(name) for name in dict.fromkeys(job.model[0] for job in todo)))
    count = (workers or 0) if ray is not None else min(workers or _most_workers(todo, max_memory), max(1, len(todo)))
    pool = Workers(count, threads=max(1, CORES // count) if ray is None else 1, ray=ray, cards=True)
    columns = (
        TextColumn("{task.description}"),
        *(BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn()),
    )
    with pool, Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:

        def settle(row: VideoRow) -> None:
            settled[row.line] = row
            add_row(folder, row)

        frames_of = clip_frames(job for job in lines if isinstance(job, VideoJob))  # of all, so that they stay the same
        needed: dict[int, list[Feature]] = {}
        for job in todo:
            try:
                needed[job.line] = features_of(job, store, frames_of)
            except (InputError, OSError) as error:  # its model is damaged, or a file went since it was read
                settle(video_failed(job, error))
        todo = [job for job in todo if job.line in needed]
        missing = {f.path: f for features in needed.values() for f in features if not f.path.is_file()}
        shown = bar.add_task("portraits, styles and motions", total=len(missing), rate="", visible=bool(missing))
        broken: dict[Path, str] = {}
        for feature, reason in pool.run(list(missing.values()), make_feature, feature_died):
            if reason and feature.kind != "motion":  # a shorter video may not come to where the clip is damaged
                broken[feature.path] = reason
            bar.update(shown, advance=1)

        tasks = []
        for job in todo:
            wrong = next((broken[f.path] for f in needed[job.line] if f.path in broken), None)
            if wrong is not None:
                settle(VideoRow(output=job.output, line=job.line, status="failed", reason=wrong))
            else:
                tasks.append(VideoTask(job, folder.resolve(), tuple(needed[job.line]), marking, max_memory))
        shown = bar.add_task("videos", total=len(tasks), rate="", visible=bool(tasks))
        start, frames = time.perf_counter(), 0
        for row in pool.run(tasks, make_video, video_died):
            settle(row)
            frames += row.frames
            rate = f"{frames / FPS / (time.perf_counter() - start):.2f} s of video per second"
            bar.update(shown, advance=1, rate=rate)
    rows = tuple(settled[job.line] for job in lines)
    outputs = {row.output for row in rows}
    write_manifest(folder, [*rows, *(row for row in before.values() if row.output not in outputs)])
    return JobsReport(rows, kept, time.perf_counter() - begin)


def _most_workers(jobs: list[VideoJob], max_memory: float | None) -> int:
    if len(jobs) <= 1:
        return 1
    from svp.device import computing_device, default_workers  # imports torch
    from svp.jobs.room import workers_that_fit

    most = min(default_workers(), len(jobs))
    return most if most == 1 or computing_device().type == "cuda" else workers_that_fit(jobs, most, max_memory)


def _is_same(row: VideoRow, job: VideoJob, marking: Marking) -> bool:
    """Whether an earlier run made this very video, signed or not as wanted."""
    return row.key == job.key and row.signed == marking.provenance
