"""Figures of clips become rows of a report: means, bootstrap intervals, floors, warnings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Final

import numpy as np
from scipy.stats import bootstrap

from svp.evaluation.judge import VideoResult
from svp.evaluation.metric import AnyMetric, SetMetric, Uses
from svp.evaluation.report import TRUTH, MetricReport, Row

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
    floor = None
    if isinstance(metric, SetMetric):
        truths = [r.features[about.name] for r in measured[TRUTH] if about.name in r.features]
        rows = [_set_row(metric, name, found, truths) for name, found in measured.items() if name != TRUTH]
        floor, least = _floor(metric, truths, seed), metric.least_clips
    else:
        rows = [_clip_row(about.name, name, found, seed) for name, found in measured.items()]
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
        warnings=[
            f"{row.system}: {row.clips} {'clip' if row.clips == 1 else 'clips'}; of fewer than {least} it means little"
            for row in rows
            if row.system != TRUTH and 0 < row.clips < least
        ],
    )


def _clip_row(metric: str, system: str, results: Sequence[VideoResult], seed: int) -> Row:
    values = [r.values[metric] for r in results if metric in r.values]
    low, high = _interval(values, seed)
    parts = [r.parts[metric] for r in results if metric in r.parts]
    curves = [r.curves[metric] for r in results if metric in r.curves]
    return Row(
        system=system,
        clips=len(values),
        frames=sum(r.frames for r in results if metric in r.values),
        mean=float(np.mean(values)) if values else None,
        low=low,
        high=high,
        unmeasured=_by_reason(metric, results),
        parts={part: float(np.mean([found[part] for found in parts])) for part in parts[0]} if parts else {},
        curve=[float(np.mean([v for v in second if v is not None])) for second in zip_longest(*curves)],
    )


def _set_row(metric: SetMetric, system: str, results: Sequence[VideoResult], truths: Sequence[np.ndarray]) -> Row:
    name = metric.about.name
    given = [r.features[name] for r in results if name in r.features]
    comparable = min(sum(map(len, given)), sum(map(len, truths))) >= 2
    return Row(
        system=system,
        clips=len(given),
        frames=sum(r.frames for r in results if name in r.features),
        mean=metric.distance(np.concatenate(given), np.concatenate(truths)) if comparable else None,
        unmeasured=_by_reason(name, results),
    )


def _by_reason(metric: str, results: Sequence[VideoResult]) -> dict[str, list[str]]:
    unmeasured: defaultdict[str, list[str]] = defaultdict(list)
    for result in results:
        if metric in result.reasons:
            unmeasured[result.reasons[metric]].append(result.name)
    return dict(unmeasured)


def _interval(values: Sequence[float], seed: int) -> tuple[float | None, float | None]:
    """Percentile bootstrap of the mean over the clips; a single clip has none."""
    if len(values) < 2:
        return None, None
    found = bootstrap(
        (np.array(values),), np.mean, n_resamples=RESAMPLES, confidence_level=CONFIDENCE, method="percentile", rng=seed
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _floor(metric: SetMetric, truths: Sequence[np.ndarray], seed: int) -> float | None:
    """What real videos score against other real ones: mean over random halves of the references."""
    if len(truths) < 2:
        return None
    distances = [metric.distance(np.concatenate(half), np.concatenate(rest)) for half, rest in _halves(truths, seed)]
    return float(np.mean(distances))


def _halves(truths: Sequence[np.ndarray], seed: int) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    rng = np.random.default_rng(seed)
    for _ in range(HALVINGS):
        order = rng.permutation(len(truths))
        middle = len(truths) // 2
        yield [truths[k] for k in order[:middle]], [truths[k] for k in order[middle:]]
