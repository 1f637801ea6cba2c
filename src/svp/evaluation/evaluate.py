"""`svp evaluate`: all metrics on all videos, in parallel over the references, as one report."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from svp.errors import InputWarning
from svp.evaluation.cache import MeasurementCache
from svp.evaluation.clips import ClipSet, find_clips
from svp.evaluation.facts import NO_TRUTH
from svp.evaluation.instruments import embedding_weights, face_weights, installation, versions
from svp.evaluation.judge import VideoResult, judge
from svp.evaluation.metric import FACELESS, AnyMetric, Uses
from svp.evaluation.networks import NEEDED, ImportedNetworks
from svp.evaluation.pixels import RESIZE
from svp.evaluation.registry import absent_metrics
from svp.evaluation.report import TRUTH, ClipReport, Problem, Report
from svp.evaluation.styles import load_style_encoder
from svp.evaluation.summary import CONFIDENCE, RESAMPLES, comparison_warnings, metric_report, size_counts
from svp.media.video import FPS
from svp.workers import run_jobs

CROP: Final = "none; a video and its reference are taken as the same picture"


def evaluate(
    systems: Mapping[str, Path],
    reference: Path,
    metrics: Sequence[AnyMetric],
    *,
    style_encoder: Path,
    names: Collection[str] | None = None,
    weights: Path | None = None,
    workers: int = 1,
    seed: int = 0,
    cache: Path | None = None,
    progress: bool = True,
) -> Report:
    """Measure the videos of several systems against those of the same name in a reference folder.

    References that no system has a video of are listed, but not measured.

    Args:
        systems: folder of each system, by its name.
        reference: folder of the true videos, or a prepared dataset.
        metrics: which ones, see `registry.choose`.
        style_encoder: folder of the style encoder, for the metrics that use one.
        names: of the references that count; None for all.
        weights: folder of imported networks, for the metrics that use them; None where there are none.
        workers: processes.
        seed: of bootstrap intervals and of the halves for the floor.
        cache: where measurements are kept for the next run; None keeps nothing.
        progress: show a bar on stderr.

    Raises:
        InputError: a folder or the style encoder cannot be used, or the cache cannot be written.
    """
    clip_sets = find_clips(systems, reference, names)
    if not any(clips.truth and clips.videos for clips in clip_sets):
        here, there = (next((c.name for c in clip_sets if bool(c.videos) == made), "none") for made in (True, False))
        warnings.warn(
            f"{reference}: holds no video of the name of one that was made ({there} there, {here} here), and those of "
            "equal names are compared; only figures that need no truth are measured",
            InputWarning,
            stacklevel=2,
        )
    face, used = face_weights(), {metric.about.uses for metric in metrics}
    instruments: dict[Uses, str] = {"pixels": "none", "face": face}
    if "embedding" in used:
        instruments["embedding"] = f"{face}, dlib's {embedding_weights()}"
    if "style" in used:
        instruments["style"] = f"{face}, style encoder {load_style_encoder(style_encoder).fingerprint()}"
    networks = ImportedNetworks(weights)
    for uses in used & set(NEEDED):
        instruments[uses] = networks.named(uses) if uses in FACELESS else f"{face}, {networks.named(uses)}"
    jobs = [clips for clips in clip_sets if clips.videos]
    results: list[VideoResult] = []
    columns = (TextColumn("evaluate"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task("", total=len(jobs))
        work = partial(
            judge,
            metrics=metrics,
            cache=MeasurementCache(cache, installation()),
            style_encoder=style_encoder if "style" in used else None,
            weights=weights if used & set(NEEDED) else None,
        )
        for found in run_jobs(jobs, work, workers, _died):
            results += found
            bar.advance(task)
    results.sort(key=lambda result: (result.system, result.name))
    return Report(
        systems={name: str(folder) for name, folder in systems.items()},
        reference=str(reference),
        seed=seed,
        resamples=RESAMPLES,
        confidence=CONFIDENCE,
        fps=FPS,
        crop=CROP,
        resize=RESIZE,
        versions=versions(),
        sizes=size_counts(list(systems), results),
        warnings=comparison_warnings(list(systems), results),
        metrics=[metric_report(metric, list(systems), results, instruments, seed) for metric in metrics],
        absent=dict(absent_metrics(weights).values()),
        problems=_problems(clip_sets, list(systems), results),
        clips=[
            ClipReport(system=result.system, name=result.name, frames=result.frames, values=result.values)
            for result in results
            if not result.failure
        ],
    )


def _died(clips: ClipSet) -> list[VideoResult]:
    """All videos of a name fail where one of them kills the process that reads them."""
    named = [(video.system, video.name) for video in clips.videos]
    if clips.truth is not None:
        named.append((TRUTH, clips.name))
    return [
        VideoResult(*who, clips.name, failure="the process that reads the videos of this name dies") for who in named
    ]


def _problems(clip_sets: Sequence[ClipSet], systems: Sequence[str], results: Sequence[VideoResult]) -> list[Problem]:
    """Videos that failed, that lack a reference, and references that a system has no video of."""
    problems = [Problem(system=r.system, name=r.name, reason=r.failure) for r in results if r.failure]
    for clips in clip_sets:
        having = {video.system for video in clips.videos}
        for system in systems:
            if clips.truth is not None and system not in having:
                problems.append(Problem(system=system, name=clips.name, reason="has no video of this name"))
        if clips.truth is None:
            problems += [Problem(system=video.system, name=video.name, reason=NO_TRUTH) for video in clips.videos]
    return problems
