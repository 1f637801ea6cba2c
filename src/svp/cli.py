"""The command line. Thin: every command checks its options and calls one function of a room.

Rooms are imported inside the commands, so that `svp --help` and a wrong option answer at once.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from svp.cli_corpus import CORES, puppet, sheet
from svp.cli_paths import need_file, need_folder, need_output
from svp.errors import InputError

app = typer.Typer(
    name="svp",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="SVP: a portrait, a recording, a head motion and a *style* become a talking-head video.",
)
style_app = typer.Typer(help="Make style files.")
app.add_typer(style_app, name="style")

if TYPE_CHECKING:
    from svp.diffusion.pipeline import SVPPipeline

Preset = Literal["mini"]
Stage = Literal["prior", "vae", "appearance", "motion", "style"]
Layout = Literal["folder"]


@app.command()
def generate(
    portrait: Annotated[Path, typer.Option(help="Picture with one visible face (photograph, painting, drawing).")],
    audio: Annotated[Path, typer.Option(help="Speech: any sound or video file; its length is the video's.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The mp4 to write.")],
    style: Annotated[
        str | None,
        typer.Option(help="Style: a saved style, a clip to learn it from, or a gallery name (happy, sad, ...)."),
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
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Denoising steps.")] = 25,
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
    for name, path in (("--portrait", portrait), ("--audio", audio)):
        need_file(path, name)
    need_output(output, ".mp4", portrait, audio, *(Path(given) for given in (style, head_motion) if given is not None))
    model_name = _model_name(model, preset)
    for option, value in (
        ("--style-strength", style_strength),
        ("--guidance-audio", guidance_audio),
        ("--guidance-style", guidance_style),
    ):
        if value is not None and not math.isfinite(value):
            raise InputError(f"{option} {value}: not a finite number; give one such as 1.5")
    if style_strength != 1.0 and style is None:
        raise InputError("--style-strength: needs --style; without a style there is nothing to strengthen")
    if guidance_style is not None and style is None:
        raise InputError("--guidance-style: needs --style; without a style there is nothing to guide to")
    from svp.style.gallery import find_style

    source = None if style is None else find_style(style)  # before torch is imported
    from svp.diffusion.inputs import check_inputs

    check_inputs(portrait, audio, source, head_motion, retarget)
    pipeline = _pipeline(model_name)
    face = pipeline.portrait(portrait)  # before a style is learned from a clip, which takes longer
    prior = None if source is None else pipeline.style(source).scale(style_strength)
    with _bar() as bar:
        task = bar.add_task("generate", total=None)
        stream = pipeline.stream(
            face,
            audio,
            prior,
            head_motion,
            seed=seed,
            num_inference_steps=steps,
            guidance_audio=guidance_audio,
            guidance_style=guidance_style,
            retarget=retarget,
            callback=lambda done, total: bar.update(task, completed=done, total=total),
        )
        stream.save(output)
    _say(f"{output}: {stream.n_frames} frames, {stream.n_frames / 25:.2f} s, {stream.size} x {stream.size}")


@style_app.command("extract")
def style_extract(
    clip: Annotated[Path, typer.Argument(help="Video of one person speaking; without sound the face alone counts.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .safetensors to write.")],
    preset: Annotated[
        Preset | None, typer.Option(help="The shipped model whose style encoder is used; mini by default.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="A model folder instead of the shipped one.")] = None,
) -> None:
    """Learn a style from a clip and save it.

    Example: svp style extract happy_clip.mp4 -o happy.safetensors
    """
    need_file(clip, "CLIP")
    need_output(output, ".safetensors", clip)
    _pipeline(_model_name(model, preset)).style(clip).save(output)
    _say(f"{output}: style of {clip.name}")


@app.command()
def prepare(
    source: Annotated[Path, typer.Argument(help="Folder of clips; an optional clips.csv names identity and emotion.")],
    dataset: Annotated[Path, typer.Argument(help="Folder of the prepared dataset.")],
    layout: Annotated[Layout, typer.Option(help="How SOURCE is organised.")] = "folder",
    size: Annotated[int, typer.Option(min=32, help="Side of the crops in pixels: 128 for mini, 512 for base.")] = 128,
    audio_features: Annotated[
        str, typer.Option(help="Sound features: whisper-tiny.en/normed, whisper-tiny/normed, .../raw, or log-mel.")
    ] = "whisper-tiny.en/normed",
    max_seconds: Annotated[
        float, typer.Option(min=0.1, help="Longer clips are cut into parts of at most this.")
    ] = 10.0,
    correct_offset: Annotated[bool, typer.Option(help="Estimate the delay of sound and lips and take it out.")] = False,
    require_sound: Annotated[bool, typer.Option(help="Reject clips without sound instead of keeping them.")] = False,
    val: Annotated[float, typer.Option(min=0, max=1, help="Share of identities for validation.")] = 0.1,
    test: Annotated[float, typer.Option(min=0, max=1, help="Share of identities for testing.")] = 0.1,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = CORES,
    resume: Annotated[bool, typer.Option(help="Go on with a dataset that was begun.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the split.")] = 0,
) -> None:
    """Prepare clips for training and evaluation: crops, landmarks, expressions, sound features.

    Example: svp prepare my_clips data/mine --size 128
    """
    from svp.datasets.prepare import prepare_folder

    prepare_layout = {"folder": prepare_folder}[layout]
    report = prepare_layout(
        source,
        dataset,
        size=size,
        audio_encoder=audio_features,
        workers=workers,
        resume=resume,
        max_seconds=max_seconds,
        correct_offset=correct_offset,
        require_sound=require_sound,
        val_fraction=val,
        test_fraction=test,
        seed=seed,
    )
    _say(str(report))


@app.command()
def motions(
    dataset: Annotated[Path, typer.Argument(help="Prepared dataset of people speaking, sound and lips in step.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .safetensors to write.")],
    licence: Annotated[str, typer.Option(help="Under which the clips may be used; written into the file.")] = "unknown",
) -> None:
    """Measure how the people of a dataset move their heads while they speak: a library for `--head-motion`.

    Example: svp motions data/mine -o mine.safetensors && svp generate --head-motion mine.safetensors ...
    """
    need_output(output, ".safetensors")
    from svp.datasets.motions import measure_motions
    from svp.datasets.prepared import PreparedDataset

    library = measure_motions(PreparedDataset(dataset), licence)
    library.save(output)
    frames = sum(map(len, library.tracks))
    _say(f"{output}: {len(library.tracks)} tracks, {frames / 25:.0f} s")


@app.command()
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
    cache: Annotated[bool, typer.Option(help="Keep measurements of videos for the next run.")] = True,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = CORES,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap intervals.")] = 0,
) -> None:
    """Compare generated videos with true ones, whoever made them: figures with intervals, tables, plots.

    Videos that belong together have equal names. X.sample0.mp4, X.sample1.mp4 are several videos of the input X.

    Example: svp evaluate outputs/mini data/test/clips -o report.json --system hallo=outputs/hallo
    """
    need_output(output, ".json")
    systems = {generated.resolve().name: generated}
    for given in system or []:
        name, separator, folder = given.partition("=")
        if not (separator and name and folder):
            raise InputError(f"--system {given}: write NAME=DIR")
        if name in systems:
            raise InputError(f"--system {given}: another folder has this name; choose another")
        systems[name] = Path(folder)
    for place in (*systems.values(), reference):  # before torch is imported
        need_folder(place)
    from svp.diffusion.model_folder import find_model
    from svp.evaluation.evaluate import evaluate as run
    from svp.evaluation.markdown import write_markdown
    from svp.evaluation.page import write_html
    from svp.evaluation.registry import choose
    from svp.speech.package import cache_dir

    report = run(
        systems,
        reference,
        choose([name.strip() for name in metrics.split(",") if name.strip()]),
        style_encoder=find_model(_model_name(model, preset)) / "style_encoder",
        workers=workers,
        seed=seed,
        cache=cache_dir() / "evaluation" if cache else None,
    )
    write_html(report, output.with_suffix(".html"))
    write_markdown(report, output.with_suffix(".md"))
    report.save(output)
    _say(f"{output.with_suffix('.html')}: {len(report.clips)} videos measured, {len(report.problems)} not")


for command in (puppet, sheet):
    app.command()(command)


@app.command()
def train(
    stage: Annotated[Stage, typer.Argument(help="What to train; each stage builds on those before.")],
    data: Annotated[Path, typer.Option(help="Prepared dataset.")],
    out: Annotated[Path, typer.Option(help="Run folder: checkpoints, TensorBoard logs, and the model at the end.")],
    preset: Annotated[Literal["mini", "base"], typer.Option(help="Sizes and recipe.")] = "mini",
    init: Annotated[Path | None, typer.Option(help="Run or model folder to start from.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in OUT.")] = False,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps; the recipe's by default.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples per step over all processes.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of Adam.")] = None,
    decay_steps: Annotated[
        int | None, typer.Option(help="Let the learning rate fall to zero over this many last steps.")
    ] = None,
    frames: Annotated[int | None, typer.Option(help="Consecutive frames per sample (motion, style).")] = None,
    expression_weight: Annotated[
        float | None, typer.Option(help="Loss weight around mouth, eyes and brows; 1 is the paper's Eq. 1.")
    ] = None,
    reference_elsewhere: Annotated[
        float | None,
        typer.Option(help="Chance that the reference frame is of another clip of the person (appearance, motion)."),
    ] = None,
    train_spatial: Annotated[
        bool | None,
        typer.Option(
            help="Motion: also train the UNet's other layers; style: the whole UNet, ReferenceNet, guider and audio "
            "projection too."
        ),
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16"] | None,
        typer.Option(help="auto: bf16 on a GPU that has it, else fp32. bf16 also helps a CPU with AVX512-BF16."),
    ] = None,
    checkpoint_every: Annotated[int | None, typer.Option(help="Steps between checkpoints.")] = None,
    seed: Annotated[int | None, typer.Option(help="Everything random follows from it.")] = None,
    max_minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop after this time, saved; go on with --resume.")
    ] = None,
) -> None:
    """Train one stage: vae, prior, appearance, motion, style, in this order for `mini`.

    Example: svp train appearance --data data/puppets --init runs/prior --out runs/appearance
    """
    from svp.training.options import recipe
    from svp.training.run import train as run

    options = recipe(
        preset,
        stage,
        data,
        init,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        decay_steps=decay_steps,
        frames=frames,
        expression_weight=expression_weight,
        reference_elsewhere=reference_elsewhere,
        train_spatial=train_spatial,
        precision=precision,
        checkpoint_every=checkpoint_every,
        seed=seed,
    )
    model = run(options, out, resume=resume, max_minutes=max_minutes)
    _say(f"{model}: model after stage {stage}")


def _model_name(model: Path | None, preset: str | None) -> str:
    """What `SVPPipeline.from_pretrained` is given."""
    if model is not None and preset is not None:
        raise InputError(f"--preset {preset}: --model {model} is given too; give one of the two")
    return str(model) if model is not None else preset or "mini"


def _pipeline(name: str) -> SVPPipeline:
    """The model to use, without diffusers' own bar: loading is short."""
    from diffusers.utils import logging

    from svp.diffusion.pipeline import SVPPipeline

    logging.disable_progress_bar()
    return SVPPipeline.from_pretrained(name)


def _bar():  # type: ignore[no-untyped-def]  # rich is imported late
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def _say(text: str) -> None:
    typer.echo(text)


def main() -> NoReturn:
    """Entry point: what the user can put right becomes one line on stderr and exit code 2; an interrupt is 130."""
    try:
        sys.exit(app(args=sys.argv[1:] or ["--help"], prog_name="svp", standalone_mode=False))
    except InputError as error:
        message = str(error)
    except typer.TyperException as error:  # an option or a command that does not exist, or a value it cannot have
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "svp"
        message = f"{error.format_message().rstrip('.')}; see `{command} --help`"
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("svp: interrupted", err=True)
        sys.exit(130)
    typer.echo(f"svp: {message.replace(chr(10), ' ')}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
