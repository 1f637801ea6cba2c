"""`svp import`: weights that others published."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import typer

from svp.cli.model import show_terms
from svp.cli.paths import need_output
from svp.errors import InputError
from svp.media.whole_file import output_file
from svp.weights.differences import DifferentTensorsError
from svp.weights.header import check_checkpoint
from svp.weights.registry import find_weight
from svp.weights.terms import tell_terms

Kind = Literal[
    "sd15", "sd-vae-ft-mse", "taesd", "animatediff", "v-express", "whisper", "inception", "i3d", "syncnet", "styletalk",
    "deep3d",
]  # fmt: skip
IMPORTERS: dict[Kind, str] = {  # module and function (source, output) -> parts; imported when asked for
    "sd15": "svp.diffusion.model_import:import_sd15",
    "sd-vae-ft-mse": "svp.diffusion.model_import:import_vae",
    "taesd": "svp.diffusion.model_import:import_taesd",
    "animatediff": "svp.diffusion.model_import:import_animatediff",
    "v-express": "svp.diffusion.model_import:import_v_express",
    "whisper": "svp.speech.whisper_import:import_whisper",
    "inception": "svp.weights.metric_import:import_inception",
    "i3d": "svp.weights.metric_import:import_i3d",
    "syncnet": "svp.weights.metric_import:import_syncnet",
    "styletalk": "svp.weights.metric_import:import_styletalk",
    "deep3d": "svp.weights.metric_import:import_deep3d",
}
CONFIGURED: tuple[Kind, ...] = ("sd15", "animatediff", "v-express")


def import_(
    kind: Annotated[Kind, typer.Argument(help="What SOURCE holds.")],
    source: Annotated[Path, typer.Argument(help="The published file or folder.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The folder; what is there already stays and is added to.")
    ],
    trust_script: Annotated[
        bool,
        typer.Option(
            "--trust-script",
            help="Inception, I3D: run TorchScript that is not the published file. It is a program that can write "
            "files: only for one that you exported yourself.",
        ),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            help="sd15, animatediff, v-express of other sizes: a JSON file with what no tensor tells, such as "
            "motion_num_attention_heads."
        ),
    ] = None,
    differences: Annotated[
        Path | None,
        typer.Option(
            help="If the tensors of SOURCE are not the published ones, all that are missing, unexpected or of another "
            "shape are written to this file, one a line."
        ),
    ] = None,
) -> None:
    """Turn published weights into a model folder, or one for `svp evaluate --weights`. Licences are kept with them.

    Each import adds a part.

    Example: svp import sd15 stable-diffusion-v1-5 -o models/base
    """
    weight = find_weight(kind)
    if trust_script and not weight.scripts:
        raise InputError(f"--trust-script: {kind} is no TorchScript; leave it out")
    if not source.exists():
        published = ", ".join(weight.files)
        raise InputError(f"{source}: no such file or folder; give {kind} as published ({published})")
    if config is not None and kind not in CONFIGURED:
        raise InputError(f"--config {config}: {kind} has one size; leave it out")
    if differences is not None:
        need_output(differences, differences.suffix.lower(), source)
    tell_terms([] if trust_script else [weight])  # of a file of one's own there are none to tell
    if source.is_file():
        check_checkpoint(source)  # before torch is imported
    module, function = IMPORTERS[kind].split(":")
    options = {"trust_script": trust_script or None, "config": config}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        parts = getattr(import_module(module), function)(source, output, **given)
    except DifferentTensorsError as error:
        if differences is None:
            raise
        with output_file(differences) as partial:
            partial.write_text(error.lines(), encoding="utf-8")
        raise InputError(error.told(f"{differences} lists all")) from error
    show_terms(output)  # of what came with it, was there, or will be fetched
    typer.echo(f"{output}: {', '.join(parts)} from {weight.title}")
