"""The commands that make and show data beside `svp prepare`: `puppet`, `sheet`, `motions`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from svp.cli.paths import need_output
from svp.cores import CORES


def puppet(
    portraits: Annotated[Path, typer.Option(help="Folder of pictures; each is one identity.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the prepared dataset.")],
    speech: Annotated[
        Path | None, typer.Option(help="Folder of recordings X.wav with X.phones.json, or with X.txt to be aligned.")
    ] = None,
    motions: Annotated[
        Path | None, typer.Option(help="Prepared dataset whose expressions, poses and sound are repeated.")
    ] = None,
    size: Annotated[
        int, typer.Option(min=32, help="Side of the frames in pixels: 128 for mini, 512 for base; a multiple of 8.")
    ] = 128,
    audio_features: Annotated[
        str, typer.Option(help="Sound features: whisper-tiny.en/normed, whisper-tiny/normed, .../raw, or log-mel.")
    ] = "whisper-tiny.en/normed",
    looks: Annotated[
        int,
        typer.Option(help="People made of every portrait: itself, and others by light, colours, background, shape."),
    ] = 2,
    emotions_per_identity: Annotated[int, typer.Option(min=3, help="Emotions a person shows, neutral among them.")] = 3,
    clips_per_emotion: Annotated[int, typer.Option(min=1, help="Clips of each of them.")] = 2,
    motion_clips: Annotated[
        int, typer.Option(help="Clips of every person that repeat a real one, where --speech is given too.")
    ] = 3,
    plain_speech: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of sentences with an emotion spoken plainly: the face alone shows it."),
    ] = 0.0,
    min_frames: Annotated[int, typer.Option(help="Shortest clip in frames, 25 a second.")] = 40,
    max_frames: Annotated[int, typer.Option(help="Longest clip in frames.")] = 52,
    val: Annotated[float, typer.Option(help="Share of portraits, and of recordings, for validation.")] = 0.04,
    test: Annotated[float, typer.Option(help="Share of portraits, and of recordings, for testing.")] = 0.08,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = CORES,
    seed: Annotated[int, typer.Option(min=0, help="Everything random follows from it.")] = 0,
) -> None:
    """Turn portraits into a talking, emotional, labelled corpus: training data without a data set.

    Example: svp puppet --portraits faces --speech sentences -o data/puppets
    """
    from svp.datasets.corpus import make_corpus
    from svp.datasets.corpus_plan import CorpusOptions

    options = CorpusOptions.checked(
        size=size,
        audio_encoder=audio_features,
        looks=looks,
        emotions_per_identity=emotions_per_identity,
        clips_per_emotion=clips_per_emotion,
        motion_clips=motion_clips,
        plain_speech=plain_speech,
        min_frames=min_frames,
        max_frames=max_frames,
        val_fraction=val,
        test_fraction=test,
        seed=seed,
    )
    report = make_corpus(portraits, output, options, speech=speech, motions=motions, workers=workers)
    typer.echo(f"{output}: {report}")


def sheet(
    dataset: Annotated[Path, typer.Argument(help="Prepared dataset, of clips or of puppets.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The png to write.")],
    rows: Annotated[int, typer.Option(min=1, help="Most identities shown, evenly spread.")] = 20,
    clips: Annotated[int, typer.Option(min=1, help="Most clips shown of each emotion.")] = 1,
) -> None:
    """Show what is in a prepared dataset: a row per identity, a column per emotion.

    Example: svp sheet data/puppets -o puppets.png
    """
    need_output(output, ".png")
    from svp.datasets.prepared import PreparedDataset
    from svp.datasets.sheet import dataset_sheet
    from svp.media.image import write_png

    write_png(output, dataset_sheet(PreparedDataset(dataset), rows, clips))
    typer.echo(f"{output}: {dataset}")


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
    typer.echo(f"{output}: {len(library.tracks)} tracks, {frames / 25:.0f} s")
