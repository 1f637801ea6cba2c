"""`svp import`: weights that others published."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import typer

from svp.cli.paths import need_output_folder
from svp.errors import InputError
from svp.weights.registry import find_weight

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
    need_output_folder(output)
    typer.echo(weight.notice(), err=True)
    module, function = IMPORTERS[kind].split(":")
    options = {"trust_script": True} if trust_script else {}
    parts = getattr(import_module(module), function)(source, output, **options)
    typer.echo(f"{output}: {', '.join(parts)} from {weight.title}")
