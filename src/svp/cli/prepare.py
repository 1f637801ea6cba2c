"""`svp prepare`: recorded clips become a prepared dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from svp.cli.model import show_terms
from svp.cores import CORES
from svp.datasets.layouts import AnyLayout, View
from svp.errors import InputError

BARS = ("max_missing", "max_others", "min_face", "min_sharpness", "max_offset", "cut_change")


def prepare(
    source: Annotated[Path, typer.Argument(help="Folder of clips; an optional clips.csv names identity and emotion.")],
    dataset: Annotated[Path, typer.Argument(help="Folder of the prepared dataset.")],
    layout: Annotated[
        AnyLayout,
        typer.Option(
            help="What SOURCE holds: videos, MEAD or HDTF as they are distributed, or .mat files of 3DMM coefficients "
            "for stage prior."
        ),
    ] = "folder",
    view: Annotated[View | None, typer.Option(show_default="front", help="Camera of MEAD.")] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=32, show_default="128", help="Side of the crops in pixels: 128 for mini, 512 for base; a multiple of 8."
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(min=1, show_default="25", help="Frame rate of the coefficients, which .mat files do not say."),
    ] = None,
    audio_features: Annotated[
        str, typer.Option(help="Sound features: whisper-tiny.en/normed, whisper-tiny/normed, .../raw, or log-mel.")
    ] = "whisper-tiny.en/normed",
    max_seconds: Annotated[
        float, typer.Option(min=0.1, help="Longer shots are cut into parts of at most this.")
    ] = 10.0,
    min_seconds: Annotated[float, typer.Option(min=0.04, help="Reject clips shorter than this.")] = 0.4,
    max_missing: Annotated[
        float | None,
        typer.Option(
            min=0, show_default="0.1", help="Reject clips without a face in more of their frames; gaps are filled."
        ),
    ] = None,
    max_others: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, show_default="0.1", help="Reject clips that show another large face in more of their frames."
        ),
    ] = None,
    min_face: Annotated[
        float | None,
        typer.Option(
            min=0, show_default="size / 6.8", help="Reject faces of fewer pixels: they would be enlarged over 4 times."
        ),
    ] = None,
    min_sharpness: Annotated[
        float | None,
        typer.Option(min=0, show_default="0.01", help="Reject blurred faces; usual clips have 0.02 to 0.7."),
    ] = None,
    max_offset: Annotated[
        float | None,
        typer.Option(
            min=0,
            show_default="0.2",
            help="Reject clips whose sound is early or late by more seconds.",
        ),
    ] = None,
    cut_change: Annotated[
        float | None,
        typer.Option(
            min=0, show_default="15", help="Grey levels by which a picture changes at a cut; no clip goes across one."
        ),
    ] = None,
    correct_offset: Annotated[bool, typer.Option(help="Move sound that is early or late against the lips.")] = False,
    require_sound: Annotated[
        bool | None,
        typer.Option(show_default="for mead and hdtf", help="Reject clips without sound instead of keeping them."),
    ] = None,
    val: Annotated[
        float | None,
        typer.Option(min=0, max=1, show_default="0.1; mead, hdtf: 0", help="Share of identities for validation."),
    ] = None,
    test: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            show_default="0.1; mead: 10 identities, hdtf: 25 videos",
            help="Share of identities for testing.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, show_default="all processors, two at least", help="Processes, here or on the cluster."),
    ] = None,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster that does the work, such as auto.")] = None,
    latents: Annotated[
        Path | None, typer.Option(help="Model folder (or mini) whose VAE's latents are cached as well, for training.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with a dataset that was begun, or change its options.")] = False,
    rehash: Annotated[
        bool,
        typer.Option(help="With --resume: read all files to see which have changed, not only those of another date."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the split.")] = 0,
) -> None:
    """Prepare clips for training and evaluation: crops, landmarks, expressions, sound features.

    Example: svp prepare MEAD data/mead --layout mead --size 512 --audio-features whisper-tiny/normed
    """
    bars = dict(zip(BARS, (max_missing, max_others, min_face, min_sharpness, max_offset, cut_change), strict=True))
    of_videos = {"size": size, "correct_offset": correct_offset or None, "latents": latents, **bars}
    unused = of_videos if layout == "coefficients" else {"fps": fps}
    for name, value in (unused if layout == "mead" else unused | {"view": view}).items():
        if value is not None:
            raise InputError(f"--{name.replace('_', '-')}: layout {layout} does not use it; leave it out")
    if latents is not None:
        from svp.diffusion.model_folder import check_model_folder, find_model

        latents = find_model(latents)
        check_model_folder(latents)
        show_terms(latents)
    from svp.datasets.prepare import prepare_coefficients, prepare_folder

    common: dict[str, Any] = {
        "audio_encoder": audio_features,
        "workers": (0 if ray else max(2, CORES)) if workers is None else workers,  # one could not outlive itself
        "ray": ray,
        "resume": resume,
        "rehash": rehash,
        "max_seconds": max_seconds,
        "min_seconds": min_seconds,
        "seed": seed,
    }
    given: dict[str, Any] = {"require_sound": require_sound, "val_fraction": val, "test_fraction": test}
    given = {name: value for name, value in given.items() if value is not None}
    if layout == "coefficients":
        report = prepare_coefficients(source, dataset, fps=fps or 25.0, **common, **given)
    else:
        given |= {name: value for name, value in bars.items() if value is not None}
        given |= {"layout": layout, "view": view, "size": size or 128, "correct_offset": correct_offset}
        report = prepare_folder(source, dataset, **common, **given)
    typer.echo(str(report))
    if latents is not None:
        from svp.datasets.latent_jobs import latents_of_model

        typer.echo(f"latents: {latents_of_model(dataset, latents / 'vae', common['workers'], ray)}")
