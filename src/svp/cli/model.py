"""Which model a command uses."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from svp.errors import InputError
from svp.weights.terms import tell_terms

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
    """The model to use, on a graphics card where there is one."""
    from svp.device import computing_device
    from svp.diffusion.pipeline import SVPPipeline

    return SVPPipeline.from_pretrained(name).to(computing_device())


def show_terms(*folders: Path) -> None:
    """Tell the terms of the foreign weights in model folders; before they are used."""
    from svp.diffusion.model_folder import tell_terms_of

    tell_terms_of(*folders)


def show_metric_terms(folder: Path, uses: Iterable[Uses]) -> None:
    """Tell the terms of the imported weights that kinds of measurement need; before they are used."""
    from svp.evaluation.networks import ImportedNetworks

    tell_terms(ImportedNetworks(folder).weights(uses))
