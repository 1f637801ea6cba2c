"""`svp reproduce`: the paper's tables and figures, measured on a dataset."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from svp.cli.model import show_metric_terms, show_terms
from svp.cli.paths import named_folders, need_folder, need_output_folder

if TYPE_CHECKING:
    from svp.reproduce.experiment import Experiment

reproduce_app = typer.Typer(
    no_args_is_help=True,
    help="Measure a table or figure of the paper on a dataset, in the paper's layout.",
)

Data = Annotated[Path, typer.Option(help="Prepared dataset.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="Folder for the .json, .md, .png and the videos.")]
Split = Literal["unseen", "test", "val", "train", "all"]
Clips = Annotated[Split, typer.Option(help="Whose clips: unseen is test and val, people that no training has seen.")]
Seed = Annotated[int, typer.Option(min=0, help="Of noise, samples, folds, intervals and maps.")]

# of what is read off style codes
Models = Annotated[
    list[str],
    typer.Option(help="Model or run folder, or a shipped model's name; repeat it for models of other seeds."),
]
Measured = Annotated[
    bool,
    typer.Option(
        "--measured", help="Of puppets: expressions as they are measured in the frames, in place of the true ones."
    ),
]

# of what is read off generated videos
Model = Annotated[str, typer.Option(help="Model or run folder, or a shipped model's name.")]
Systems = Annotated[
    list[str] | None, typer.Option("--system", help="NAME=DIR: videos of another system; may be repeated.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Most clips that are made again; by default all of the split.")]
Few = Annotated[int, typer.Option(min=1, help="Most clips, or people, that are shown.")]
Fast = Annotated[Literal["exact", "balanced", "turbo"], typer.Option(help="As in `svp generate`.")]
Steps = Annotated[int | None, typer.Option(min=1, max=1000, help="Denoising steps; the model's own by default.")]
Weights = Annotated[
    Path | None, typer.Option(help="Folder of imported networks (FID, FVD, SyncNet, StyleSim); see `svp import`.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes; by default a GPU each makes videos, a processor each measures.")
]
Ray = Annotated[str | None, typer.Option(help="Address of a Ray cluster that makes the videos, such as auto.")]


@reproduce_app.command()
def table1(
    context: typer.Context,
    data: Data,
    model: Model,
    output: Output,
    system: Systems = None,
    split: Clips = "test",
    limit: Limit = None,
    seed: Seed = 0,
    fast: Fast = "exact",
    steps: Steps = None,
    weights: Weights = None,
    workers: Workers = None,
    ray: Ray = None,
) -> None:
    """Reconstruction: clips made again in their own style, measured against the true ones.

    Example: svp reproduce table1 --data data/mead --model mini --system hallo=outputs/hallo --limit 40 -o results
    """
    systems = named_folders(system or [])
    experiment = _experiment(context)
    from svp.reproduce.write import write_table1

    _tell(context, write_table1(experiment, systems))


@reproduce_app.command()
def table2(
    context: typer.Context,
    data: Data,
    model: Model,
    output: Output,
    system: Systems = None,
    split: Clips = "test",
    limit: Limit = None,
    seed: Seed = 0,
    fast: Fast = "exact",
    steps: Steps = None,
    weights: Weights = None,
    workers: Workers = None,
    ray: Ray = None,
) -> None:
    """Style transfer: emotional clips made again on neutral portraits, with and without style.

    Example: svp reproduce table2 --data data/mead --model mini --limit 40 -o results
    """
    systems = named_folders(system or [])
    experiment = _experiment(context)
    from svp.reproduce.write import write_table2

    _tell(context, write_table2(experiment, systems))


@reproduce_app.command()
def table3(
    context: typer.Context,
    data: Data,
    model: Models,
    output: Output,
    split: Clips = "unseen",
    measured: Measured = False,
    seed: Seed = 0,
) -> None:
    """Clustering strength by emotion of audio, expression and both; retrieval, intensity, and what a probe reads.

    Example: svp reproduce table3 --data data/puppets --model runs/seed0 --model runs/seed1 -o results
    """
    need_output_folder(output)
    dataset, models = _codes(data, model, measured)
    from svp.reproduce.write import write_table3

    _tell(context, write_table3(dataset, models, output, selection=split, seed=seed, command=_command(context)))


@reproduce_app.command()
def figure3(
    context: typer.Context,
    data: Data,
    model: Model,
    output: Output,
    system: Systems = None,
    portraits: Annotated[
        Path | None, typer.Option(help="Folder of pictures of other kinds: paintings, statues.")
    ] = None,
    split: Clips = "test",
    limit: Few = 2,
    seed: Seed = 0,
    fast: Fast = "exact",
    steps: Steps = None,
    workers: Workers = None,
    ray: Ray = None,
) -> None:
    """A grid of systems by frames, and portraits of other kinds in several styles.

    The folder of a system holds the folders reconstruction and transfer.

    Example: svp reproduce figure3 --data data/mead --model mini --portraits paintings -o results
    """
    systems = named_folders(system or [])
    if portraits is not None:
        need_folder(portraits, "portraits")
    experiment = _experiment(context)
    from svp.reproduce.write import write_figure3

    _tell(context, write_figure3(experiment, systems, portraits))


@reproduce_app.command()
def figure4(
    context: typer.Context,
    data: Data,
    model: Model,
    against: Annotated[str, typer.Option(help="Model or run folder of `svp train style --deterministic`.")],
    output: Output,
    split: Clips = "test",
    limit: Few = 4,
    seed: Seed = 0,
    fast: Fast = "exact",
    steps: Steps = None,
    workers: Workers = None,
    ray: Ray = None,
) -> None:
    """The probabilistic prior against the deterministic one, and how much of the style's person leaks.

    Example: svp reproduce figure4 --data data/mead --model runs/style --against runs/deterministic -o results
    """
    experiment = _experiment(context)
    from svp.reproduce.write import write_figure4

    _tell(context, write_figure4(experiment, against))


@reproduce_app.command()
def figure5(
    context: typer.Context,
    data: Data,
    model: Models,
    output: Output,
    split: Clips = "unseen",
    measured: Measured = False,
    seed: Seed = 0,
) -> None:
    """Maps of the styles by emotion and intensity (t-SNE).

    Example: svp reproduce figure5 --data data/puppets --model mini -o results
    """
    need_output_folder(output)
    dataset, models = _codes(data, model, measured)
    from svp.reproduce.write import write_figure5

    _tell(context, write_figure5(dataset, models, output, selection=split, seed=seed, command=_command(context)))


@reproduce_app.command()
def figure6(
    context: typer.Context,
    data: Data,
    model: Model,
    output: Output,
    between: Annotated[tuple[str, str], typer.Option(help="Emotions of the two ends.")] = ("sad", "happy"),
    split: Clips = "test",
    limit: Few = 3,
    seed: Seed = 0,
    fast: Fast = "exact",
    steps: Steps = None,
    workers: Workers = None,
    ray: Ray = None,
) -> None:
    """Interpolation between two styles: a strip of frames, and the measured corners of the mouth.

    Example: svp reproduce figure6 --data data/mead --model mini -o results
    """
    experiment = _experiment(context)
    from svp.reproduce.write import write_figure6

    _tell(context, write_figure6(experiment, between))


def _experiment(context: typer.Context) -> Experiment:
    """What the options of a command say of the videos to be made."""
    given = context.params
    need_output_folder(given["output"])
    if given.get("weights") is not None:
        need_folder(given["weights"], "what `svp import` wrote")
    from svp.datasets.prepared import PreparedDataset

    dataset = PreparedDataset(given["data"])  # before torch is imported
    from svp.diffusion.model_folder import find_trained
    from svp.evaluation.networks import NEEDED
    from svp.reproduce.experiment import Experiment
    from svp.speech.package import cache_dir

    models = [given["model"]] if given.get("against") is None else [given["model"], given["against"]]
    show_terms(*map(find_trained, models))
    networks = given.get("weights") or cache_dir() / "weights"
    if "weights" in given:
        show_metric_terms(networks, NEEDED)
    return Experiment(
        dataset=dataset,
        folder=given["output"],
        selection=given["split"],
        weights=networks,
        cache=cache_dir() / "evaluation",
        command=_command(context),
        **{name: given[name] for name in ("model", "limit", "seed", "fast", "steps", "workers", "ray")},
    )


def _codes(data: Path, model: list[str], measured: bool) -> tuple[Any, Any]:
    """The dataset and the models whose style codes are measured."""
    from svp.datasets.prepared import PreparedDataset
    from svp.diffusion.model_folder import find_trained

    show_terms(*map(find_trained, model))
    dataset = PreparedDataset(data)  # before torch is imported
    from svp.datasets.measured import SeenDataset, measured_expressions
    from svp.reproduce.models import load_models

    models = load_models(model)
    return (SeenDataset(data, measured_expressions(dataset)) if measured else dataset), models


def _command(context: typer.Context) -> str:
    """The command line with all options, those that were left out with their values too."""
    call = ["svp", "reproduce", str(context.info_name)]
    for option in context.command.params:
        value = context.params[str(option.name)]
        if isinstance(value, bool):
            call += [option.opts[0]] * value
        elif getattr(option, "multiple", False):
            for each in value or ():
                call += [option.opts[0], str(each)]
        elif value is not None:
            call += [option.opts[0], *map(str, value if isinstance(value, tuple) else [value])]
    return shlex.join(call)


def _tell(context: typer.Context, said: str) -> None:
    typer.echo(f"{context.params['output'] / str(context.info_name)}.md: {said}")
