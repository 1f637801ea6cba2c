"""Plots of a report as SVG: means with their intervals, curves over time, figures per part."""

import io
from collections.abc import Sequence
from typing import Final

from matplotlib.figure import Figure

from svp.evaluation.report import TRUTH, MetricReport

WIDTH: Final = 6.4  # inches
TRUTH_COLOR: Final = "0.55"
MOST_PARTS: Final = 15


def mean_plot(metric: MetricReport) -> str:
    """A dot per system with its interval, a ring at its mean absolute value; the truth grey, the floor a line."""
    rows = [row for row in metric.rows if row.mean is not None]
    figure = Figure(figsize=(WIDTH, 0.5 + 0.32 * len(rows)))
    axes = figure.subplots()
    for place, row in enumerate(reversed(rows)):
        color = TRUTH_COLOR if row.system == TRUTH else "C0"
        if row.low is not None and row.high is not None:
            axes.hlines(place, row.low, row.high, color=color, linewidth=3, alpha=0.4)
        axes.scatter(float(row.mean or 0), place, color=color)
        if row.absolute is not None:
            axes.scatter(row.absolute, place, facecolors="none", edgecolors=color)
    if metric.floor is not None:
        axes.axvline(metric.floor, color=TRUTH_COLOR, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(rows)), [row.system for row in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    ring = "; ring: mean of the absolute values" if any(row.absolute is not None for row in rows) else ""
    axes.set_xlabel(_label(metric) + ring)
    return _svg(figure)


def curve_plot(metric: MetricReport) -> str:
    """Means per second over the length of the videos."""
    figure = Figure(figsize=(WIDTH, 2.2))
    axes = figure.subplots()
    for row in metric.rows:
        if row.curve:
            (line,) = axes.plot([k + 0.5 for k in range(len(row.curve))], row.curve, label=row.system)
            if row.system == TRUTH:
                line.set(color=TRUTH_COLOR, linestyle="--")
    axes.set_xlabel("seconds")
    axes.set_ylabel(metric.unit)
    axes.legend(fontsize=8, frameon=False)
    return _svg(figure)


def parts_plot(metric: MetricReport) -> str:
    """The parts with the largest figures, of all systems."""
    rows = [row for row in metric.rows if row.parts and row.system != TRUTH]
    largest = {part: max(row.parts[part] for row in rows) for part in rows[0].parts}
    names = sorted(largest, key=lambda part: -largest[part])[:MOST_PARTS]
    figure = Figure(figsize=(WIDTH, 0.7 + 0.24 * len(names)))
    axes = figure.subplots()
    height = 0.8 / len(rows)
    for k, row in enumerate(rows):
        places = [len(names) - 1 - n - 0.4 + (k + 0.5) * height for n in range(len(names))]
        axes.barh(places, [row.parts[name] for name in names], height=height, label=row.system)
    axes.set_yticks(range(len(names)), reversed(names), fontsize=8)
    axes.set_xlabel(_label(metric))
    axes.legend(fontsize=8, frameon=False)
    return _svg(figure)


def plots(metric: MetricReport) -> Sequence[str]:
    """All plots of a metric that have something to show."""
    shown = []
    if any(row.mean is not None for row in metric.rows):
        shown.append(mean_plot(metric))
    if any(row.curve for row in metric.rows):
        shown.append(curve_plot(metric))
    if any(row.parts for row in metric.rows if row.system != TRUTH):
        shown.append(parts_plot(metric))
    return shown


def _label(metric: MetricReport) -> str:
    return f"{metric.title} ({metric.unit})" if metric.unit else metric.title


def _svg(figure: Figure) -> str:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.25)
    figure.set_layout_engine("constrained")
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
