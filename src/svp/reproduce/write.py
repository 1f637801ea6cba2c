"""From a measurement to the files of a folder; each appears whole, the JSON last. What was measured, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from svp.datasets.prepared import PreparedDataset
from svp.datasets.selection import Selection
from svp.evaluation.report import Part, write_text
from svp.media.image import write_png
from svp.reproduce.comparison import Comparison, measure_table1, measure_table2
from svp.reproduce.comparison_page import comparison_markdown, comparison_plot
from svp.reproduce.experiment import Experiment
from svp.reproduce.figure3 import figure3_markdown, measure_figure3
from svp.reproduce.figure4 import figure4_markdown, measure_figure4
from svp.reproduce.figure5 import figure5_markdown, measure_figure5
from svp.reproduce.figure6 import figure6_markdown, measure_figure6
from svp.reproduce.models import StyleModel
from svp.reproduce.table3 import measure_table3
from svp.reproduce.table3_page import table3_markdown
from svp.reproduce.table3_plots import clustering_plot, probe_plot
from svp.style.map import rendered


def write_table1(experiment: Experiment, systems: Mapping[str, Path]) -> str:
    """Measure Table 1 and write `table1.json`, `.md` and `.png`."""
    return _write_comparison(experiment.folder, "table1", measure_table1(experiment, systems))


def write_table2(experiment: Experiment, systems: Mapping[str, Path]) -> str:
    """Measure Table 2 and write `table2.json`, `.md` and `.png`."""
    return _write_comparison(experiment.folder, "table2", measure_table2(experiment, systems))


def _write_comparison(folder: Path, name: str, table: Comparison) -> str:
    pictures = {f"{name}.png": rendered(comparison_plot(table))}
    _write(folder, name, table, comparison_markdown(table), pictures)
    return f"{len(table.report.clips)} videos measured, {len(table.report.problems) + len(table.problems)} not"


def write_table3(
    dataset: PreparedDataset,
    models: Sequence[StyleModel],
    folder: Path,
    *,
    selection: Selection,
    seed: int,
    command: str,
) -> str:
    """Measure Table 3 and write `table3.json`, `.md`, `.png` and `table3_probes.png`."""
    table = measure_table3(dataset, models, selection=selection, seed=seed, command=command, progress=True)
    pictures = {"table3.png": rendered(clustering_plot(table))}
    if table.probes:
        pictures["table3_probes.png"] = rendered(probe_plot(table))
    _write(folder, "table3", table, table3_markdown(table), pictures)
    facts = table.setting.dataset
    return f"{sum(facts.clips.values())} clips of {facts.identities} people, {len(models)} model(s)"


def write_figure3(experiment: Experiment, systems: Mapping[str, Path], portraits: Path | None) -> str:
    """Make Figure 3 and write `figure3.json`, `.md`, `.png` and, with portraits, `figure3_portraits.png`."""
    found, sheets = measure_figure3(experiment, systems, portraits)
    _write(experiment.folder, "figure3", found, figure3_markdown(found), sheets)
    return f"{len(found.rows)} rows of {len(found.columns)} pictures"


def write_figure4(experiment: Experiment, against: str) -> str:
    """Measure Figure 4 and write `figure4.json`, `.md` and `.png`."""
    found, sheets = measure_figure4(experiment, against)
    _write(experiment.folder, "figure4", found, figure4_markdown(found), sheets)
    return f"{len(found.cases)} styles on other people's portraits"


def write_figure5(
    dataset: PreparedDataset,
    models: Sequence[StyleModel],
    folder: Path,
    *,
    selection: Selection,
    seed: int,
    command: str,
) -> str:
    """Measure Figure 5 and write `figure5.json`, `.md` and a `.png` per model and input."""
    figure, drawings = measure_figure5(dataset, models, selection=selection, seed=seed, command=command, progress=True)
    pictures = {file: rendered(drawing) for file, drawing in drawings.items()}
    _write(folder, "figure5", figure, figure5_markdown(figure), pictures)
    return f"{len(drawings)} maps"


def write_figure6(experiment: Experiment, emotions: tuple[str, str]) -> str:
    """Measure Figure 6 and write `figure6.json`, `.md`, `.png` and `figure6_curve.png`."""
    found, pictures = measure_figure6(experiment, emotions)
    _write(experiment.folder, "figure6", found, figure6_markdown(found), pictures)
    rank = "not measured" if found.mean.monotonicity is None else f"{found.mean.monotonicity:.2f}"
    return f"{len(found.curves)} people; Spearman of the mouth's corners with the weight: {rank}"


def _write(folder: Path, name: str, found: Part, text: str, pictures: Mapping[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file, picture in pictures.items():
        write_png(folder / file, picture)
    write_text(folder / f"{name}.md", text)
    write_text(folder / f"{name}.json", found.model_dump_json(indent=1) + "\n")
