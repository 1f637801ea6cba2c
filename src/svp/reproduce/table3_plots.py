"""Bars of Table 3 and of its probes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from svp.reproduce.interval import Figure
from svp.reproduce.setting import paper_name
from svp.reproduce.table3 import BASELINE, PAPER_DATA, Row, Table3

COLOURS = {"audio": "#7fb3d5", "expression": "#f5b041", "audio and expression": "#c0392b", BASELINE: "0.65"}
HATCHES = {"deterministic": "//"}


def clustering_plot(table: Table3) -> Drawing:
    """Clustering strength by emotion: within identities, and of all identities together; the paper's as diamonds."""
    drawing = Drawing(figsize=(9.6, 6.4), dpi=130)
    within, across = drawing.subplots(2, 1)
    _bars(within, table.rows, [row.clustering.emotions | {"mean": row.clustering.mean} for row in table.rows], table)
    within.set_title("within identities (Eq. 8, Table 3)", fontsize=10)
    if not any(table.rows[-1].clustering.identities.values()):
        within.text(
            0.5, 0.5, "no identity has two clips of one emotion", transform=within.transAxes, ha="center", fontsize=9
        )
    across_of = [row.clustering_across.emotions | {"mean": row.clustering_across.mean} for row in table.rows]
    _bars(across, table.rows, across_of, None)
    across.set_title("all identities together", fontsize=10)
    for axes in (within, across):
        axes.axhline(1.0, color="0.4", linewidth=0.8, linestyle="--")
        axes.set_ylabel("d_inter / d_intra")
    within.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _finished(drawing)


def probe_plot(table: Table3) -> Drawing:
    """Accuracy of the probes by what they read; chance as a line through the bars."""
    drawing = Drawing(figsize=(7.6, 3.4), dpi=130)
    axes = drawing.subplots()
    groups = list(dict.fromkeys(row.reads for row in table.probes))
    kinds = list(dict.fromkeys((row.kind, row.code) for row in table.probes))
    width = 0.8 / max(len(kinds), 1)
    for k, (kind, code) in enumerate(kinds):
        own = [row for row in table.probes if (row.kind, row.code) == (kind, code)]
        places = [groups.index(row.reads) - 0.4 + (k + 0.5) * width for row in own]
        colour = "#2e86c1" if code == "sampled s" else "#aed6f1"
        _bar(axes, places, [row.accuracy for row in own], width, colour, f"{code}, {kind}", HATCHES.get(kind, ""))
    chances = [next(row.chance for row in table.probes if row.reads == reads) for reads in groups]
    edges = [(place - 0.45, place + 0.45) for place in range(len(groups))]
    axes.hlines(chances, *zip(*edges, strict=True), color="black", linewidth=1.2, linestyle=":", label="chance")
    axes.set_xticks(range(len(groups)), [name.replace(", ", ",\n") for name in groups])
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("accuracy of a linear probe")
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _finished(drawing)


def _bars(axes: Axes, rows: Sequence[Row], figures: Sequence[dict[str, Figure]], table: Table3 | None) -> None:
    """A group of bars per emotion, a bar per row; diamonds where `table` gives the paper's figures."""
    emotions = list(figures[0])
    width = 0.84 / len(rows)
    diamonds: list[tuple[float, float]] = []
    kinds = len({row.kind for row in rows} - {""})
    for k, (row, of) in enumerate(zip(rows, figures, strict=True)):
        places = [n - 0.42 + (k + 0.5) * width for n in range(len(emotions))]
        label = f"{row.input}, {row.kind}" if kinds > 1 and row.kind else row.input
        known = [of.get(emotion, Figure()) for emotion in emotions]
        _bar(axes, places, known, width, COLOURS[row.input], label, HATCHES.get(row.kind, ""))
        paper = {} if table is None or row.kind == "deterministic" else table.paper.get(row.input, {})
        diamonds += [(places[n], paper[emotion]) for n, emotion in enumerate(emotions) if emotion in paper]
    if table is not None and diamonds:
        whose = paper_name(PAPER_DATA, table.setting.dataset)
        axes.plot(*zip(*diamonds, strict=True), "kD", mfc="none", ms=4, label=whose)
    axes.set_xticks(range(len(emotions)), emotions, fontsize=9)
    axes.set_xlim(-0.6, len(emotions) - 0.4)


def _bar(
    axes: Axes, places: Sequence[float], figures: Sequence[Figure], width: float, colour: str, label: str, hatch: str
) -> None:
    heights = [np.nan if one.mean is None else one.mean for one in figures]
    axes.bar(places, heights, width=0.94 * width, color=colour, label=label, hatch=hatch, edgecolor="white")
    for place, one in zip(places, figures, strict=True):
        if one.low is not None and one.high is not None:
            axes.vlines(place, one.low, one.high, color="0.2", linewidth=1.0)


def _finished(drawing: Drawing) -> Drawing:
    for axes in drawing.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
        axes.set_axisbelow(True)
    drawing.set_layout_engine("constrained")
    return drawing
