"""Figures of clips become rows of a report: means, bootstrap intervals, floors, warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Final

import numpy as np
from scipy.stats import bootstrap

from svp.evaluation.judge import VideoResult
from svp.evaluation.metric import AnyMetric, CurveMetric, Metric, SetMetric, Uses
from svp.evaluation.report import TRUTH, MetricReport, Row, grouped

RESAMPLES: Final = 2000
CONFIDENCE: Final = 0.95
FEW_CLIPS: Final = 10
HALVINGS: Final = 5  # of the references, for the floor of a set metric


def metric_report(
    metric: AnyMetric,
    systems: Sequence[str],
    results: Sequence[VideoResult],
    weights: Mapping[Uses, str],
    seed: int,
) -> MetricReport:
    """One metric of the truth and of all systems.

    Args:
        results: of all videos.
        weights: what measured it, in words.
        seed: of intervals and halves.
    """
    about = metric.about
    measured = {name: [r for r in results if r.system == name and not r.failure] for name in (TRUTH, *systems)}
    floor, floor_text, few_vectors = None, "", list[str]()
    if isinstance(metric, SetMetric):
        truths = [r.features[about.name] for r in measured[TRUTH] if about.name in r.features]
        rows = [_set_row(metric, name, found, truths) for name, found in measured.items() if name != TRUTH]
        floor, floor_text = _floor(metric, truths, seed)
        least = metric.least_clips
        few_vectors = _few_vectors(rows, truths)
    else:
        rows = [_clip_row(metric, name, found, seed) for name, found in measured.items()]
        least = FEW_CLIPS
    return MetricReport(
        name=about.name,
        title=about.title,
        unit=about.unit,
        better=about.better,
        source=about.source,
        pitfalls=about.pitfalls,
        weights=weights[about.uses],
        rows=rows,
        floor=floor,
        floor_text=floor_text,
        warnings=[
            f"{row.system}: {_counted(row)}; of fewer than {least} it means little"
            for row in rows
            if row.system != TRUTH and 0 < row.inputs < least
        ]
        + few_vectors,
    )


def _few_vectors(rows: Sequence[Row], truths: Sequence[np.ndarray]) -> list[str]:
    """Warnings where a covariance cannot have full rank."""
    if not truths:
        return []
    size, known = truths[0].shape[1], {TRUTH: _vectors(truths)} | {row.system: row.vectors or 0 for row in rows}
    return [
        f"{name}: {vectors} vectors of {size} numbers have a singular covariance; the distance lies too high"
        for name, vectors in known.items()
        if 0 < vectors <= size
    ]


def _counted(row: Row) -> str:
    clips = f"{row.clips} {'clip' if row.clips == 1 else 'clips'}"
    return clips if row.clips == row.inputs else f"{clips} of {row.inputs} {'input' if row.inputs == 1 else 'inputs'}"


def _clip_row(metric: Metric | CurveMetric, system: str, results: Sequence[VideoResult], seed: int) -> Row:
    name = metric.about.name
    found = [r for r in results if name in r.values]
    values = np.array([r.values[name] for r in found])
    low, high = _interval(values, [r.input for r in found], seed)
    framewise = isinstance(metric, Metric) and metric.framewise
    parts = [r.parts[name] for r in found if name in r.parts]
    curves = [r.curves[name] for r in found if name in r.curves]
    return Row(
        system=system,
        clips=len(found),
        inputs=len({r.input for r in found}),
        frames=sum(r.shared_frames if framewise else r.frames for r in found),
        mean=float(values.mean()) if found else None,
        low=low,
        high=high,
        absolute=float(np.abs(values).mean()) if found and metric.about.better == "near zero" else None,
        unmeasured=_by_reason(name, results),
        parts={part: float(np.mean([figures[part] for figures in parts])) for part in parts[0]} if parts else {},
        curve=[float(np.mean([v for v in second if v is not None])) for second in zip_longest(*curves)],
    )


def _set_row(metric: SetMetric, system: str, results: Sequence[VideoResult], truths: Sequence[np.ndarray]) -> Row:
    name = metric.about.name
    found = [r for r in results if name in r.features]
    given = [r.features[name] for r in found]
    comparable = min(_vectors(given), _vectors(truths)) >= 2
    return Row(
        system=system,
        clips=len(found),
        inputs=len({r.input for r in found}),
        frames=sum(r.frames for r in found),
        vectors=_vectors(given),
        mean=metric.distance(np.concatenate(given), np.concatenate(truths)) if comparable else None,
        unmeasured=_by_reason(name, results),
    )


def _by_reason(metric: str, results: Sequence[VideoResult]) -> dict[str, list[str]]:
    return grouped((result.reasons[metric], result.name) for result in results if metric in result.reasons)


def _interval(values: np.ndarray, inputs: Sequence[str], seed: int) -> tuple[float | None, float | None]:
    """Percentile bootstrap of the mean over the clips; a single input has none.

    Inputs are drawn, each with all its clips: samples of one input are no independent clips.
    """
    _, owner = np.unique(inputs, return_inverse=True)
    sums, counts = np.bincount(owner, values), np.bincount(owner)
    if len(sums) < 2:
        return None, None
    found = bootstrap(
        (sums, counts),
        lambda drawn, n, axis: drawn.sum(axis) / n.sum(axis),
        paired=True,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=seed,
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _floor(metric: SetMetric, truths: Sequence[np.ndarray], seed: int) -> tuple[float | None, str]:
    """What real videos score against other real ones, the mean over random halves of the references, and how."""
    halves = [pair for pair in _halves(truths, seed) if min(map(_vectors, pair)) >= 2]
    if not halves:
        return None, ""
    distances = [metric.distance(np.concatenate(half), np.concatenate(rest)) for half, rest in halves]
    clips, vectors = len(truths), _vectors(truths)
    half, rest = clips // 2, clips - clips // 2
    return float(np.mean(distances)), (
        f"one half of the references against the other, mean of {len(halves)} random divisions of {clips} clips "
        f"({vectors} vectors) into {half} and {rest}. A system is compared with all {vectors} vectors; fewer vectors "
        "raise the distance, so the floor lies higher than that of as many real videos would. Only a figure well above "
        "it is told from real videos."
    )


def _vectors(features: Sequence[np.ndarray]) -> int:
    return sum(map(len, features))


def _halves(truths: Sequence[np.ndarray], seed: int) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    rng = np.random.default_rng(seed)
    for _ in range(HALVINGS):
        order = rng.permutation(len(truths))
        middle = len(truths) // 2
        yield [truths[k] for k in order[:middle]], [truths[k] for k in order[middle:]]


def size_counts(systems: Sequence[str], results: Sequence[VideoResult]) -> dict[str, dict[str, int]]:
    """How many videos of the truth and of each system are WIDTH x HEIGHT pixels large, the most frequent first."""
    sizes: dict[str, Counter[str]] = {name: Counter() for name in (TRUTH, *systems)}
    for result in results:
        if not result.failure:
            height, width = result.size
            sizes[result.system][f"{width} x {height}"] += 1
    return {name: dict(counter.most_common()) for name, counter in sizes.items()}


def comparison_warnings(systems: Sequence[str], results: Sequence[VideoResult]) -> list[str]:
    """Why figures may not compare: systems of other resolutions or other clips, videos of another length."""
    warnings = []
    sizes = {name: found for name, found in size_counts(systems, results).items() if name != TRUTH and found}
    if len({frozenset(found) for found in sizes.values()}) > 1:
        named = ", ".join(f"{name} {' and '.join(found)}" for name, found in sizes.items())
        warnings.append(f"the systems differ in resolution ({named}): pixel metrics depend on it, bold needs care")
    inputs = {name: {r.input for r in results if r.system == name and not r.failure} for name in systems}
    if len({frozenset(found) for found in inputs.values()}) > 1:
        named = ", ".join(f"{name} {len(found)}" for name, found in inputs.items())
        warnings.append(f"the systems were not measured on the same inputs ({named}): their figures compare loosely")
    for system in systems:
        cut = [
            f"{r.name} {r.frames} against {r.true_frames}"
            for r in results
            if r.system == system and r.true_frames is not None and abs(r.frames - r.true_frames) > 1
        ]
        if cut:
            warnings.append(
                f"{system}: {len(cut)} {'video is' if len(cut) == 1 else 'videos are'} longer or shorter than the "
                f"reference, stretched or cut perhaps; only frames that both have are compared: {', '.join(cut)}"
            )
    return warnings
