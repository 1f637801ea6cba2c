"""`svp evaluate`: measure generated videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from svp.cli.model import Preset, model_name, show_metric_terms, show_terms
from svp.cli.paths import named_folders, need_folder, need_output
from svp.cores import CORES
from svp.errors import InputError


def evaluate(
    generated: Annotated[Path, typer.Argument(help="Folder of generated videos.")],
    reference: Annotated[Path, typer.Argument(help="Folder of the true videos, or a prepared dataset.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .json to write; .html and .md come beside it.")],
    system: Annotated[
        list[str] | None, typer.Option(help="NAME=DIR: another system in the same tables; may be repeated.")
    ] = None,
    metrics: Annotated[str, typer.Option(help="Names of metrics with commas between; all by default.")] = "",
    preset: Annotated[
        Preset | None, typer.Option(help="The shipped model whose style encoder is used; mini by default.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="A model folder instead of the shipped one.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Folder of imported networks (FID, FVD, SyncNet, StyleSim); see `svp import`.")
    ] = None,
    cache: Annotated[bool, typer.Option(help="Keep measurements of videos for the next run.")] = True,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = CORES,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap intervals.")] = 0,
) -> None:
    """Compare generated videos with true ones, whoever made them: figures with intervals, tables, plots.

    Videos that belong together have equal names. X.sample0.mp4, X.sample1.mp4 are several videos of the input X.

    Example: svp evaluate outputs/mini data/test/clips -o report.json --system hallo=outputs/hallo
    """
    need_output(output, ".json")
    others, own = named_folders(system or []), generated.resolve().name
    if own in others:
        raise InputError(f"--system {own}={others[own]}: another folder has this name; choose another")
    systems = {own: generated, **others}
    if weights is not None:
        need_folder(weights, "what `svp import` wrote")
    from svp.evaluation.clips import find_clips

    find_clips(systems, reference)  # before torch is imported
    from svp.diffusion.model_folder import find_model
    from svp.evaluation.registry import choose
    from svp.speech.package import cache_dir

    networks = cache_dir() / "weights" if weights is None else weights
    chosen = choose([name.strip() for name in metrics.split(",") if name.strip()], networks)
    styles = find_model(model_name(model, preset))
    show_terms(styles)
    show_metric_terms(networks, {metric.about.uses for metric in chosen})
    from svp.evaluation.evaluate import evaluate as run
    from svp.evaluation.markdown import write_markdown
    from svp.evaluation.page import write_html
    from svp.evaluation.report import TRUTH

    report = run(
        systems,
        reference,
        chosen,
        style_encoder=styles / "style_encoder",
        weights=networks,
        workers=workers,
        seed=seed,
        cache=cache_dir() / "evaluation" if cache else None,
    )
    write_html(report, output.with_suffix(".html"))
    write_markdown(report, output.with_suffix(".md"))
    report.save(output)
    judged = sum(clip.system != TRUTH for clip in report.clips)
    typer.echo(f"{output.with_suffix('.html')}: {judged} videos measured, {len(report.problems)} not")
