"""A report as Markdown: the table, and below it, compactly, what has to be known of its figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from svp.evaluation.page import ARROWS, figure_text, problem_groups, row_of
from svp.evaluation.report import TRUTH, Report, best_systems, grouped, write_text

LISTED: Final = 10  # names of videos in a line


def write_markdown(report: Report, path: Path) -> None:
    """Write the report as Markdown."""
    write_text(path, markdown_report(report))


def markdown_report(report: Report) -> str:
    """Metrics by systems, bold is best; then numbers of clips, warnings, what was not measured, and how it was."""
    sections = {
        "": [*_table(report), "", *_legend(report)],
        "Clips / frames": list(_counts(report)),
        "Floors": [f"- {m.title}: {m.floor:.4g}: {m.floor_text}" for m in report.metrics if m.floor is not None],
        "Warnings": [f"- {warning}" for warning in _warnings(report)],
        "Not measured": list(_unmeasured(report)),
        "Absent": [f"- {title}: {reason}" for title, reason in report.absent.items()],
        "How it was measured": list(_method(report)),
    }
    blocks = ["\n".join([f"## {title}", "", *lines] if title else lines) for title, lines in sections.items() if lines]
    return "\n\n".join(blocks) + "\n"


def _names(report: Report) -> list[str]:
    return [TRUTH, *report.systems]


def _header(first: str, names: list[str]) -> list[str]:
    return [f"| {first} | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]


def _table(report: Report) -> Iterator[str]:
    yield from _header("", _names(report))
    for metric in report.metrics:
        cells, best = [], best_systems(metric)
        for name in _names(report):
            row = row_of(metric, name)
            text = f"**{figure_text(row)}**" if name in best else figure_text(row)
            if row is not None and row.low is not None and row.high is not None:
                text += f" ({row.low:.3g} … {row.high:.3g})"
            cells.append(text)
        unit = f", {metric.unit}" if metric.unit else ""
        yield f"| {metric.title} {ARROWS[metric.better]}{unit} | {' | '.join(cells)} |"


def _legend(report: Report) -> Iterator[str]:
    counted = []
    for name in _names(report):
        sizes = report.sizes.get(name, {})
        counted.append(f"{name} {' and '.join(f'{n} of {size}' for size, n in sizes.items()) or 'none'}")
    yield f"Videos measured, by their pixels: {', '.join(counted)}."
    yield (
        f"In brackets the {report.confidence:.0%} bootstrap interval of the mean over the inputs "
        f"({report.resamples} resamples, seed {report.seed}). Bold is best; where a figure should be near zero, by the "
        "mean of the absolute values."
    )


def _counts(report: Report) -> Iterator[str]:
    yield from _header("", _names(report))
    rows = ((metric.name, [row_of(metric, name) for name in _names(report)]) for metric in report.metrics)
    cells = ((tuple("–" if row is None else f"{row.clips} / {row.frames}" for row in found), n) for n, found in rows)
    for counted, metrics in grouped(cells).items():
        yield f"| {', '.join(metrics)} | {' | '.join(counted)} |"


def _warnings(report: Report) -> Iterator[str]:
    yield from report.warnings
    for warning, metrics in grouped((w, m.name) for m in report.metrics for w in m.warnings).items():
        yield f"{warning} ({', '.join(metrics)})"


def _unmeasured(report: Report) -> Iterator[str]:
    for (system, problem), names in problem_groups(report).items():
        yield f"- {system}: {problem}: {_listed(names)}"
    silent = (
        ((row.system, (reason, tuple(clips))), metric.name)
        for metric in report.metrics
        for row in metric.rows
        for reason, clips in row.unmeasured.items()
    )
    said = (((tuple(metrics), why), system) for (system, why), metrics in grouped(silent).items())
    for (metrics, (reason, clips)), systems in grouped(said).items():
        yield f"- {', '.join(metrics)} of {', '.join(systems)}: {reason}: {_listed(clips)}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more, all in the .json" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _method(report: Report) -> Iterator[str]:
    yield f"- reference: {report.reference}"
    yield from (f"- {name}: {folder}" for name, folder in report.systems.items())
    yield f"- rate: {report.fps:g} frames per second, by time stamps"
    yield f"- crop: {report.crop}"
    yield f"- resize: {report.resize}"
    for weights, metrics in grouped((metric.weights, metric.name) for metric in report.metrics).items():
        yield f"- weights of {', '.join(metrics)}: {weights}"
    yield f"- versions: {', '.join(f'{name} {version}' for name, version in report.versions.items())}"
