"""`svp style`: style files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svp.cli.model import Preset, load_pipeline, model_name, show_terms
from svp.cli.numbers import finite
from svp.cli.paths import need_file, need_output
from svp.cli.reproduce import Measured, Split
from svp.errors import InputError

if TYPE_CHECKING:
    from svp.style.prior import StylePrior

style_app = typer.Typer(help="Make style files: learn one from a clip, mix, exaggerate, sample; draw a map.")
Style = Annotated[str, typer.Argument(help="A saved style, or a name of the gallery such as happy or angry:2.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="The .safetensors to write.")]


@style_app.command("extract")
def extract(
    clip: Annotated[Path, typer.Argument(help="Video of one person speaking; without sound the face alone counts.")],
    output: Output,
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
    from svp.diffusion.model_folder import find_model
    from svp.diffusion.untrained import check_styles_trained
    from svp.face.landmarks import need_face
    from svp.media.audio import check_sound
    from svp.media.video import probe

    name = model_name(model, preset)
    check_styles_trained(find_model(name))
    if probe(clip).has_audio:
        check_sound(clip)
    need_face(clip)  # before torch is imported
    replace(load_pipeline(name).style(clip), name=output.stem).save(output)
    typer.echo(f"{output}: style of {clip.name}")


@style_app.command()
def mix(
    a: Style,
    b: Style,
    output: Output,
    weight: Annotated[float, typer.Option(min=0, max=1, help="Share of B; the rest is A.")] = 0.5,
) -> None:
    """Mix two styles: means, variances and neutral codes are blended linearly.

    Example: svp style mix sad happy --weight 0.3 -o wistful.safetensors
    """
    first, second = load(a, output), load(b, output)
    if first.encoder != second.encoder:
        raise InputError(f"{b}: made by another style encoder than {a}; extract both styles with the same model")
    first.mix(second, weight).save(output)
    typer.echo(f"{output}: {1 - weight:g} {first.name} + {weight:g} {second.name}")


@style_app.command()
def scale(
    style: Style,
    output: Output,
    strength: Annotated[
        float,
        typer.Option(
            callback=finite, help="0 is neutral, 1 the style as it is, more exaggerates it; below 0 its opposite."
        ),
    ],
) -> None:
    """Weaken or exaggerate a style: its codes move along the line from the neutral code.

    Example: svp style scale happy --strength 1.5 -o beaming.safetensors
    """
    loaded = load(style, output)
    loaded.scale(strength).save(output)
    typer.echo(f"{output}: {loaded.name} at strength {strength:g}")


@style_app.command()
def sample(
    style: Style,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the styles.")],
    count: Annotated[int, typer.Option("-n", min=1, help="How many.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same samples.")] = 0,
) -> None:
    """Draw single codes from a style (Eq. 4), each saved as a style without variance.

    Example: svp style sample happy -n 5 -o happy_samples
    """
    from svp.style.gallery import find_style

    name = find_style(style).stem
    outputs = [output / f"{name}_{k}.safetensors" for k in range(count)]
    for path in outputs:
        need_output(path, ".safetensors")
    import torch

    loaded, generator = load(style), torch.Generator().manual_seed(seed)
    for path in outputs:
        loaded.drawn(generator).save(path)
    typer.echo(f"{output}: {count} samples of {loaded.name}")


@style_app.command("map")
def draw(
    dataset: Annotated[Path, typer.Argument(help="Prepared dataset whose clips name their emotions.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .png to write.")],
    model: Annotated[str, typer.Option(help="Model or run folder, or a shipped model's name.")] = "mini",
    split: Annotated[
        Split, typer.Option(help="Whose clips: unseen is test and val, people that no training has seen.")
    ] = "unseen",
    measured: Measured = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same map.")] = 0,
) -> None:
    """Draw the styles of a dataset's clips as a map (t-SNE, Fig. 5): colour is emotion, darker is more intense.

    Example: svp style map data/puppets --split test -o styles.png
    """
    need_output(output, ".png")
    from svp.datasets.prepared import PreparedDataset
    from svp.diffusion.model_folder import find_trained

    show_terms(find_trained(model))
    source = PreparedDataset(dataset)  # before torch is imported
    from svp.datasets.measured import SeenDataset, measured_expressions
    from svp.datasets.selection import select_clips, unlabelled
    from svp.media.image import write_png
    from svp.reproduce.models import load_style_encoder
    from svp.style.codes import encode_clips
    from svp.style.map import FEWEST, draw_map, project, rendered

    if measured:
        source = SeenDataset(dataset, measured_expressions(source))
    rows = select_clips(source, split, clips=FEWEST)
    codes = encode_clips(load_style_encoder(model), source, rows, progress="encode clips").labelled()
    people, name = {row.identity for row in codes.rows}, source.root.resolve().name
    whose = f"{len(people)} {'person' if len(people) == 1 else 'people'}"
    write_png(output, rendered(draw_map(project(codes.gaussian.mean, seed), codes.rows, f"styles of {whose} ({name})")))
    unknown = unlabelled(rows)
    left_out = f"; {unknown} of unknown emotion left out" if unknown else ""
    typer.echo(f"{output}: {len(codes.rows)} clips of {whose}{left_out}")


def load(style: str, output: Path | None = None) -> StylePrior:
    """A saved style or one of the gallery; `output` must not be its file.

    Raises:
        InputError: it is neither, or would be overwritten.
    """
    from svp.style.gallery import find_style
    from svp.style.style_file import is_clip

    path = find_style(style, remedy="give a saved style")
    if is_clip(path):
        raise InputError(f"{path}: no saved style; make one of it first: `svp style extract {path} -o X.safetensors`")
    if output is not None:
        need_output(output, ".safetensors", path)
    from svp.style.prior import StylePrior

    return StylePrior.load(path)
