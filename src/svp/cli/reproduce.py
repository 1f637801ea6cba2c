"""`svp reproduce`: the paper's tables and figures, measured on a dataset."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from svp.cli.model import show_terms
from svp.cli.paths import need_output_folder

Name = Literal["table3", "figure5"]
Split = Literal["unseen", "test", "val", "train", "all"]
Measured = Annotated[
    bool,
    typer.Option(
        "--measured", help="Of puppets: expressions as they are measured in the frames, in place of the true ones."
    ),
]


def reproduce(
    name: Annotated[Name, typer.Argument(help="Which table or figure of the paper.")],
    data: Annotated[Path, typer.Option(help="Prepared dataset.")],
    model: Annotated[
        list[str],
        typer.Option(help="Model or run folder, or a shipped model's name; repeat it for models of other seeds."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the .json, .md and .png.")],
    split: Annotated[
        Split, typer.Option(help="Whose clips: unseen is test and val, people that no training has seen.")
    ] = "unseen",
    measured: Measured = False,
    seed: Annotated[int, typer.Option(min=0, help="Of samples, folds, intervals and maps.")] = 0,
) -> None:
    """Measure a table or figure of the paper on a dataset: figures with intervals, a table in its layout, plots.

    table3: clustering strength by emotion of audio, expression and both, emotion of the nearest neighbour, intensity,
    and what a linear probe reads off the code. figure5: maps of the styles.

    Example: svp reproduce table3 --data data/puppets --model runs/seed0 --model runs/seed1 -o results
    """
    need_output_folder(output)
    call = ["svp", "reproduce", name, "--data", str(data)]
    for each in model:
        call += ["--model", each]
    call += ["--measured"] * measured
    call += ["--split", split, "--seed", str(seed), "-o", str(output)]
    from svp.datasets.measured import SeenDataset, measured_expressions
    from svp.datasets.prepared import PreparedDataset
    from svp.diffusion.model_folder import find_model, model_folder
    from svp.reproduce.models import load_models
    from svp.reproduce.write import write_figure5, write_table3

    show_terms(*(find_model(model_folder(Path(each))) for each in model))
    write = {"table3": write_table3, "figure5": write_figure5}[name]
    models = load_models(model)
    dataset = PreparedDataset(data)
    if measured:
        dataset = SeenDataset(data, measured_expressions(dataset))
    said = write(dataset, models, output, selection=split, seed=seed, command=shlex.join(call))
    typer.echo(f"{output / name}.md: {said}")
