"""`svp generate`: the main job."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from svp.cli.model import Preset, load_pipeline, model_name
from svp.cli.paths import need_file, need_output
from svp.errors import InputError

if TYPE_CHECKING:
    from rich.progress import Progress


def generate(
    portrait: Annotated[Path, typer.Option(help="Picture with one visible face (photograph, painting, drawing).")],
    audio: Annotated[Path, typer.Option(help="Speech: any sound or video file; its length is the video's.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The mp4 to write.")],
    style: Annotated[
        list[str] | None,
        typer.Option(
            help="Style: a saved style, a clip to learn it from, or a gallery name (happy, angry:2, ...). Several over "
            "time: --style sad --style happy@2.5, in seconds, or a JSON file."
        ),
    ] = None,
    style_strength: Annotated[
        float, typer.Option(help="0 is neutral, 1 the style as it is, more exaggerates it.")
    ] = 1.0,
    head_motion: Annotated[
        str,
        typer.Option(
            help="`natural`: real head motion that fits the recording; LIB.safetensors: the same from an own library "
            "(`svp motions`); a clip whose head motion is used; or `still`."
        ),
    ] = "natural",
    preset: Annotated[Preset | None, typer.Option(help="The shipped model; mini by default.")] = None,
    model: Annotated[Path | None, typer.Option(help="A model folder instead of the shipped one.")] = None,
    adapters: Annotated[
        Path | None, typer.Option(help="A file of LoRA adapters (`svp train --lora`) for that model.")
    ] = None,
    fast: Annotated[
        Literal["exact", "balanced", "turbo"],
        typer.Option(help="Speed for quality: exact gives up none, balanced a little; turbo needs a distilled model."),
    ] = "exact",
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Denoising steps; the model's own by default.")
    ] = None,
    guidance_audio: Annotated[
        float | None,
        typer.Option(help="Guidance scale of portrait, head motion and sound; the model's own by default."),
    ] = None,
    guidance_style: Annotated[
        float | None, typer.Option(help="Guidance scale of the style; the model's own by default.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and inputs give the same video.")] = 0,
    retarget: Annotated[
        Literal["pose", "none"],
        typer.Option(help="`pose` moves the portrait's own points; `none` uses a driving clip's points as they are."),
    ] = "pose",
) -> None:
    """Make a talking-head video.

    Example: svp generate --portrait ada.png --audio hello.wav --style happy -o hello.mp4
    """
    styles = style or []
    for name, path in (("--portrait", portrait), ("--audio", audio)):
        need_file(path, name)
    if adapters is not None:
        need_file(adapters, "--adapters")
    need_output(output, ".mp4", portrait, audio, *(Path(given) for given in (*styles, head_motion)))
    chosen = model_name(model, preset)
    for option, value in (
        ("--style-strength", style_strength),
        ("--guidance-audio", guidance_audio),
        ("--guidance-style", guidance_style),
    ):
        if value is not None and not math.isfinite(value):
            raise InputError(f"{option} {value}: not a finite number; give one such as 1.5")
    if style_strength != 1.0 and not styles:
        raise InputError("--style-strength: needs --style; without a style there is nothing to strengthen")
    if guidance_style is not None and not styles:
        raise InputError("--guidance-style: needs --style; without a style there is nothing to guide to")
    from svp.style.cues import read_cues

    cues = read_cues(styles)  # before torch is imported
    from svp.diffusion.inputs import check_inputs, check_style_source
    from svp.style.timeline import as_timeline

    check_inputs(portrait, audio, None, head_motion, retarget)
    for cue in cues:
        check_style_source(cue.path)
    pipeline = load_pipeline(chosen)
    if adapters is not None:
        pipeline.merge_adapters(adapters)
    face = pipeline.portrait(portrait)  # before a style is learned from a clip, which takes longer
    timed = [(cue.seconds, pipeline.style(cue.path).scale(cue.strength)) for cue in cues]
    prior = as_timeline(timed).scale(style_strength) if timed else None
    with progress_bar() as bar:
        task = bar.add_task("generate", total=None)
        stream = pipeline.stream(
            face,
            audio,
            prior,
            head_motion,
            seed=seed,
            fast=fast,
            num_inference_steps=steps,
            guidance_audio=guidance_audio,
            guidance_style=guidance_style,
            retarget=retarget,
            callback=lambda done, total: bar.update(task, completed=done, total=total),
        )
        stream.save(output)
    typer.echo(f"{output}: {stream.n_frames} frames, {stream.n_frames / 25:.2f} s, {stream.size} x {stream.size}")


def progress_bar() -> Progress:
    """A bar on stderr; rich is imported late."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
