"""Tables 1 and 2 as Markdown, in the paper's layout, and as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from matplotlib.figure import Figure as Drawing

from svp.evaluation.markdown import markdown_report
from svp.evaluation.page import ARROWS, row_of
from svp.evaluation.report import TRUTH, MetricReport, best_systems
from svp.reproduce.comparison import Comparison
from svp.reproduce.paper import OURS
from svp.reproduce.setting import paper_caveat, paper_name, setting_markdown

OFFSET, CONFIDENCE = "sync_offset", "sync_confidence"  # one column of the paper
TITLES: Final = {
    "fvd": "FVD↓", "fid": "FID↓", "psnr": "PSNR↑", "ssim": "SSIM↑", "f_lmd": "F-LMD↓", "m_lmd": "M-LMD↓",
    OFFSET: "SyncNet↓↑", "style_sim": "StyleSim↑",
}  # fmt: skip
DIGITS: Final = {"ssim": 4, "style_sim": 4}  # others have two, as in the paper
SHOWN: Final = (  # in the picture, besides the paper's
    "lip_correlation", "beta_error", "style_sim_prior", "emotion_accuracy", "identity_embedding", "flicker",
)  # fmt: skip
PANELS: Final = 4  # side by side


def comparison_markdown(table: Comparison) -> str:
    """The table in the paper's layout with the paper's rows, then every metric with its interval."""
    blocks = [
        f"# {table.title}",
        table.about,
        "\n".join(_layout(table)),
        "Bold is best of our rows and the systems measured here; `–`: not measured, the reasons stand below. SyncNet: "
        "mean absolute offset in frames / mean confidence. The rows of the paper were "
        f"{paper_caveat(table.setting.dataset)}, with landmarks of their own: they are no figures to compare with.",
        *(["## Not made", "\n".join(f"- {problem}" for problem in table.problems)] if table.problems else []),
        "## All metrics",
        markdown_report(table.report).rstrip(),
        "## What was measured",
        "\n".join(setting_markdown(table.setting)),
    ]
    return "\n\n".join(blocks) + "\n"


def _layout(table: Comparison) -> Iterator[str]:
    columns = [name for name in table.columns if name != CONFIDENCE]
    yield f"| Method | {' | '.join(TITLES[name] for name in columns)} |"
    yield f"|---|{'---|' * len(columns)}"
    metrics = {metric.name: metric for metric in table.report.metrics}
    for system in (*table.report.systems, TRUTH):
        label = "Ground truth" if system == TRUTH else system
        yield f"| {label} | {' | '.join(_measured(metrics, name, system) for name in columns)} |"
    for row in table.paper:
        cells = [_joined([_number(part, row.figures[part]) for part in _parts(name)]) for name in columns]
        yield f"| *{paper_name(row.dataset, table.setting.dataset)}: {row.method}* | {' | '.join(cells)} |"


def _measured(metrics: dict[str, MetricReport], name: str, system: str) -> str:
    found = []
    for part in _parts(name):
        row = row_of(metrics[part], system) if part in metrics else None
        value = None if row is None else row.mean if row.absolute is None else row.absolute
        text = _number(part, value)
        found.append(f"**{text}**" if value is not None and system in best_systems(metrics[part]) else text)
    return _joined(found)


def _parts(name: str) -> tuple[str, ...]:
    return (OFFSET, CONFIDENCE) if name == OFFSET else (name,)


def _joined(texts: list[str]) -> str:
    return "–" if set(texts) == {"–"} else "/".join(texts)


def _number(metric: str, value: float | None) -> str:
    return "–" if value is None else f"{value:.{DIGITS.get(metric, 2)}f}"


def comparison_plot(table: Comparison) -> Drawing:
    """A panel per metric: the systems with their intervals; diamonds are the paper's own method, see `paper_name`."""
    order = [*table.columns, *SHOWN]
    metrics = {metric.name: metric for metric in table.report.metrics}
    shown = [name for name in order if name in metrics and any(r.mean is not None for r in metrics[name].rows)]
    rows = max(1, math.ceil(len(shown) / PANELS))
    systems, papers = list(table.report.systems), [row for row in table.paper if row.method == OURS]
    labels = [*systems, "ground truth", *(paper_name(row.dataset, table.setting.dataset) for row in papers)]
    drawing = Drawing(figsize=(3.1 * PANELS, rows * (0.9 + 0.3 * len(labels))), dpi=110, layout="constrained")
    for panel, axes in enumerate(drawing.subplots(rows, PANELS, squeeze=False).flat):
        if panel >= len(shown):
            axes.set_axis_off()
            continue
        metric = metrics[shown[panel]]
        truth = [TRUTH] if metric.name in SHOWN else []  # that of the paper's metrics says nothing: 100 dB
        for place, system in enumerate([*systems, *truth]):
            row = row_of(metric, system)
            if row is None or row.mean is None:
                continue
            colour = "0.55" if system == TRUTH else "#c0392b" if system == OURS else "#2e86c1"
            axes.plot(row.mean if row.absolute is None else row.absolute, place, "o", color=colour)
            if row.absolute is None and row.low is not None and row.high is not None:
                axes.hlines(place, row.low, row.high, color=colour, linewidth=2, alpha=0.5)
        for place, theirs in enumerate(papers, start=len(systems) + 1):
            if metric.name in theirs.figures:
                axes.plot(theirs.figures[metric.name], place, "kD", mfc="none", ms=5)
        axes.set_yticks(range(len(labels)), labels if panel % PANELS == 0 else [""] * len(labels), fontsize=8)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.set_title(f"{metric.title} {ARROWS[metric.better]}", fontsize=9)
        axes.set_xlabel(metric.unit, fontsize=8)
        axes.tick_params(axis="x", labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.25)
    return drawing
