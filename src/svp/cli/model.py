"""Which model a command uses."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from svp.errors import InputError

if TYPE_CHECKING:
    from svp.diffusion.pipeline import SVPPipeline
    from svp.evaluation.metric import Uses

Preset = Literal["mini"]


def model_name(model: Path | None, preset: str | None) -> str:
    """What `SVPPipeline.from_pretrained` is given."""
    if model is not None and preset is not None:
        raise InputError(f"--preset {preset}: --model {model} is given too; give one of the two")
    return str(model) if model is not None else preset or "mini"


def load_pipeline(name: str) -> SVPPipeline:
    """The model to use, on a graphics card where there is one, without diffusers' own bar: loading is short.

    The terms of foreign weights in it are shown.
    """
    from diffusers.utils import logging

    from svp.device import computing_device
    from svp.diffusion.model_folder import find_model
    from svp.diffusion.pipeline import SVPPipeline

    logging.disable_progress_bar()
    show_terms(find_model(name))
    return SVPPipeline.from_pretrained(name).to(computing_device())


def show_terms(*folders: Path) -> None:
    """Print the terms of the foreign weights in model folders, each once; before they are used."""
    from svp.diffusion.model_folder import terms

    for line in dict.fromkeys(line for folder in folders for line in terms(folder)):
        typer.echo(line, err=True)


def show_metric_terms(folder: Path, uses: Iterable[Uses]) -> None:
    """Print the terms of the imported weights that kinds of measurement need; before they are used."""
    from svp.evaluation.networks import ImportedNetworks

    for line in ImportedNetworks(folder).notices(uses):
        typer.echo(line, err=True)
