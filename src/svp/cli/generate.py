"""`svp generate`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from svp.cli.jobs import generate_jobs
from svp.cli.marking import choose_marking
from svp.cli.model import load_pipeline, model_name
from svp.cli.numbers import finite, scale_of_guidance
from svp.cli.paths import need_file, need_output
from svp.cli.plan import print_generation_plan
from svp.errors import InputError
from svp.weights.header import check_adapters

if TYPE_CHECKING:
    from rich.progress import Progress


def generate(
    context: typer.Context,
    portrait: Annotated[
        Path | None, typer.Option(help="Picture with one visible face (photograph, painting, drawing).")
    ] = None,
    audio: Annotated[
        Path | None, typer.Option(help="Speech: any sound or video file; its length is the video's.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The mp4 to write; with --jobs the folder for all.")
    ] = None,
    style: Annotated[
        list[str] | None,
        typer.Option(
            help="Style: a saved style, a clip to learn it from, or a gallery name (happy, angry:2, ...). Several over "
            "time: --style sad --style happy@2.5, in seconds, or a JSON file."
        ),
    ] = None,
    style_strength: Annotated[
        float,
        typer.Option(
            callback=finite, help="0 is neutral, 1 the style as it is, more exaggerates it; below 0 its opposite."
        ),
    ] = 1.0,
    head_motion: Annotated[
        str,
        typer.Option(
            help="`natural`: real head motion that fits the recording; LIB.safetensors: the same from an own library "
            "(`svp motions`); a clip whose head motion is used; or `still`."
        ),
    ] = "natural",
    mouth_amplitude: Annotated[
        float, typer.Option(help="How far the sound moves the mouth: 0 to 3, 1 as the model learned it.")
    ] = 1.0,
    head_amplitude: Annotated[
        float, typer.Option(help="How far the head moves: 0 (still) to 2, 1 as the head motion has it.")
    ] = 1.0,
    blink_rate: Annotated[
        float | None, typer.Option(help="Blinks per minute, 0 to 60; those of the head motion by default.")
    ] = None,
    gaze: Annotated[
        str, typer.Option(metavar="RIGHT,UP", help="Degrees by which the eyes look right in the picture and up.")
    ] = "0,0",
    frame: Annotated[
        Literal["crop", "full"],
        typer.Option(help="`crop`: the square around the face; `full`: the face moves in the whole picture."),
    ] = "crop",
    aspect: Annotated[
        str | None, typer.Option(metavar="W:H", help="Shape of the video, such as 16:9: more of the picture is shown.")
    ] = None,
    face_box: Annotated[
        str | None,
        typer.Option(metavar="X,Y,W,H", help="Where the face is, in pixels, if none is found or another is meant."),
    ] = None,
    preset: Annotated[
        Literal["mini", "base"] | None, typer.Option(help="The shipped model, mini by default; base with --plan only.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="A model folder instead of the shipped one.")] = None,
    adapters: Annotated[
        Path | None, typer.Option(help="A file of LoRA adapters (`svp train --lora`) for that model.")
    ] = None,
    fast: Annotated[
        Literal["exact", "balanced", "turbo"],
        typer.Option(
            help="Speed for quality: exact gives up none, balanced a little; turbo needs a model made for few steps."
        ),
    ] = "exact",
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Denoising steps; the model's own by default.")
    ] = None,
    guidance_audio: Annotated[
        float | None,
        typer.Option(
            callback=scale_of_guidance,
            help="Guidance scale of portrait, head motion and sound; the model's own by default.",
        ),
    ] = None,
    guidance_style: Annotated[
        float | None,
        typer.Option(callback=scale_of_guidance, help="Guidance scale of the style; the model's own by default."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and inputs give the same video.")] = 0,
    retarget: Annotated[
        Literal["pose", "none"],
        typer.Option(help="`pose` moves the portrait's own points; `none` uses a driving clip's points as they are."),
    ] = "pose",
    label: Annotated[bool, typer.Option("--label", help="Draw `AI-generated` into a corner of every frame.")] = False,
    label_text: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Draw this text instead; it says --label, too.")
    ] = None,
    jobs: Annotated[
        Path | None,
        typer.Option(help="Many videos: a file with a JSON object per line, whose keys are the options above."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes for --jobs, each with its model; one per GPU, or processor with memory."),
    ] = None,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster that does --jobs, such as auto.")] = None,
    no_provenance: Annotated[
        bool,
        typer.Option(
            "--no-provenance",
            help="Leave out the signed C2PA manifest that tells machines that the video is generated, and from what. "
            "Article 50 of the EU's AI Act asks for such marking: without it that is left to you.",
        ),
    ] = False,
    certificate: Annotated[
        Path | None,
        typer.Option(
            help="Sign the manifest with this chain (PEM), or $SVP_CERTIFICATE; by default one made on this computer."
        ),
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Private key (PEM) of --certificate, or $SVP_KEY.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only print memory and arithmetic; nothing is generated or written.")
    ] = False,
    max_memory: Annotated[
        float | None,
        typer.Option(
            min=0, help="GB the process, or each worker, may take; the frames computed at once are made to fit."
        ),
    ] = None,
    size: Annotated[int | None, typer.Option(min=32, help="With --plan: pixels, if not the model's own.")] = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=0, max=86_400, help="With --plan: length, instead of --audio; up to a day."),
    ] = None,
    device: Annotated[Literal["cpu", "cuda"] | None, typer.Option(help="With --plan: cpu by default.")] = None,
) -> None:
    """Make a talking-head video, or many.

    Example: svp generate --portrait ada.png --audio hello.wav --style happy -o hello.mp4
    """
    if jobs is not None:
        marking = choose_marking(not no_provenance, certificate, key)
        generate_jobs(context, jobs, output, workers, ray, max_memory, marking)
        return
    for option, given in (("--workers", workers), ("--ray", ray)):
        if given is not None:
            raise InputError(f"{option} {given}: is for many videos; give --jobs too")
    scales: dict[str, Any] = {
        "num_inference_steps": steps,
        "guidance_audio": guidance_audio,
        "guidance_style": guidance_style,
    }
    if plan:
        name, where = model_name(model, preset), device or "cpu"
        print_generation_plan(name, audio, seconds, size, max_memory, fast, scales, style or [], head_motion, where)
        return
    for option, planned in (("--size", size), ("--seconds", seconds), ("--device", device)):
        if planned is not None:
            raise InputError(f"{option} {planned}: is for planning; give --plan too")
    if portrait is None or audio is None or output is None:
        missing = "--portrait" if portrait is None else "--audio" if audio is None else "-o"
        raise InputError(f"Missing option '{missing}'; see `svp generate --help`")
    styles = style or []
    for name, path in (("--portrait", portrait), ("--audio", audio)):
        need_file(path, name)
    if adapters is not None:
        need_file(adapters, "--adapters")
        check_adapters(adapters)
    need_output(output, ".mp4", portrait, audio, *(Path(given) for given in (*styles, head_motion)))
    chosen = model_name(model, preset)
    if style_strength != 1.0 and not styles:
        raise InputError("--style-strength: needs --style; without a style there is nothing to strengthen")
    if guidance_style is not None and not styles:
        raise InputError("--guidance-style: needs --style; without a style there is nothing to guide to")
    marking = choose_marking(not no_provenance, certificate, key).labelled(label, label_text)
    from svp.style.cues import need_within, read_cues

    cues = read_cues(styles)  # before torch is imported
    from dataclasses import asdict

    from svp.diffusion.inputs import check_inputs
    from svp.diffusion.knobs import Knobs, parse_gaze
    from svp.diffusion.model_folder import check_model_folder, find_model, saved_settings
    from svp.diffusion.portrait import clips_among, prepare_portrait
    from svp.diffusion.untrained import check_trained
    from svp.face.canvas import View
    from svp.face.face_box import FaceBox
    from svp.media.audio import read_audio
    from svp.media.video import FPS, count_frames
    from svp.style.style_file import Maker, read_style_file

    knobs, view = Knobs(mouth_amplitude, head_amplitude, blink_rate, parse_gaze(gaze)), View(frame, aspect)
    box = None if face_box is None else FaceBox.parse(face_box)
    check_inputs(portrait, audio, head_motion, retarget, knobs)
    if cues and (last := cues[-1].seconds):
        need_within(cues[-1].name, last, count_frames(len(read_audio(audio, stop=last + 1))) / FPS)
    folder = find_model(chosen)
    check_model_folder(folder)
    check_trained(None if adapters else folder, styled=bool(styles))
    maker = Maker.saved(folder)
    for cue in cues:
        if (saved := read_style_file(cue.path)) is not None and maker is not None:
            maker.check(str(cue.path), saved)
    size_of_face = saved_settings(folder).image_size
    face = prepare_portrait(portrait, size_of_face, box)  # before torch is imported
    if marking.label:  # of which alone the size of the frames matters now
        canvas = face.canvas(view)
        marking.check_size(*((size_of_face, size_of_face) if canvas is None else (canvas.width, canvas.height)))
    from svp.diffusion.generation import sampling_of
    from svp.diffusion.memory_plan import within_memory
    from svp.diffusion.video import partial_folder
    from svp.style.timeline import style_over_time

    pipeline = load_pipeline(chosen)
    if adapters is not None:
        pipeline.merge_adapters(adapters)
    prior = style_over_time(cues, pipeline.style, style_strength)
    fitted = within_memory(
        pipeline,
        audio,
        max_memory,
        sampling_of(pipeline, fast, **scales),
        styled=bool(styles),
        clips=clips_among([cue.path for cue in cues], head_motion),
    )
    bar = progress_bar()
    task = bar.add_task("windows of frames", total=None)
    with fitted as fitting, partial_folder(output) as partial:
        if fitting is not None:
            sizes = "windows of {window}, chunks of {chunk}".format(**fitting.sizes)
            bar.console.print(f"--max-memory {max_memory:g}: {sizes}", highlight=False)
        stream = pipeline.stream(
            face,
            audio,
            prior,
            head_motion,
            seed=seed,
            fast=fast,
            **scales,
            retarget=retarget,
            **asdict(knobs),
            **asdict(view),
            callback=lambda done, total: bar.update(task, completed=done, total=total),
            partial=partial,
        )
        stream.made_from(portrait, [cue.path for cue in cues])
        try:
            with bar:  # nothing more is wrong with what was given
                stream.save(output, marking)
        except KeyboardInterrupt:
            typer.echo(f"{partial}: keeps what is finished; the same command goes on with it", err=True)
            raise
    typer.echo(f"{output}: {stream.n_frames} frames, {stream.n_frames / 25:.2f} s, {stream.width} x {stream.height}")


def progress_bar() -> Progress:
    """A bar on stderr; rich is imported late."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
