"""From a measurement to the files of a folder; each appears whole, the JSON last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure as Drawing

from svp.datasets.prepared import PreparedDataset
from svp.datasets.selection import Selection
from svp.evaluation.report import Part, write_text
from svp.media.image import write_png
from svp.reproduce.figure5 import figure5_markdown, measure_figure5
from svp.reproduce.models import StyleModel
from svp.reproduce.table3 import measure_table3
from svp.reproduce.table3_page import table3_markdown
from svp.reproduce.table3_plots import clustering_plot, probe_plot
from svp.style.map import rendered


def write_table3(
    dataset: PreparedDataset,
    models: Sequence[StyleModel],
    folder: Path,
    *,
    selection: Selection,
    seed: int,
    command: str,
) -> str:
    """Measure Table 3 and write `table3.json`, `.md`, `.png` and `table3_probes.png`; what was measured in words."""
    table = measure_table3(dataset, models, selection=selection, seed=seed, command=command, progress=True)
    drawings = {"table3.png": clustering_plot(table)}
    if table.probes:
        drawings["table3_probes.png"] = probe_plot(table)
    _write(folder, "table3", table, table3_markdown(table), drawings)
    facts = table.setting.dataset
    return f"{sum(facts.clips.values())} clips of {facts.identities} people, {len(models)} model(s)"


def write_figure5(
    dataset: PreparedDataset,
    models: Sequence[StyleModel],
    folder: Path,
    *,
    selection: Selection,
    seed: int,
    command: str,
) -> str:
    """Measure Figure 5 and write `figure5.json`, `.md` and a `.png` per model and input; what was drawn in words."""
    figure, drawings = measure_figure5(dataset, models, selection=selection, seed=seed, command=command, progress=True)
    _write(folder, "figure5", figure, figure5_markdown(figure), drawings)
    return f"{len(drawings)} maps"


def _write(folder: Path, name: str, found: Part, text: str, drawings: Mapping[str, Drawing]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file, drawing in drawings.items():
        write_png(folder / file, rendered(drawing))
    write_text(folder / f"{name}.md", text)
    write_text(folder / f"{name}.json", found.model_dump_json(indent=1) + "\n")
