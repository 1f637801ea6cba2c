"""What of a model was neither trained nor published, so that nobody takes its noise for a result.

An import begins such parts as training from scratch begins them. Known are models with a record of imports or of
stages; of others, built in memory say, nothing is claimed.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from svp.errors import InputError, InputWarning
from svp.weights.provenance import owners
from svp.weights.training_record import training_records


@dataclass(frozen=True)
class Part:
    """A part of a model.

    Attributes:
        name: for people.
        stage: that trains it.
        imported_as: its name in records of imports; empty where nobody publishes it.
    """

    name: str
    stage: str
    imported_as: str = ""


GUIDER = Part("guider", "appearance", "guider")
PARTS = (
    GUIDER,
    Part("motion modules", "motion", "unet.motion"),
    Part("audio projection", "motion", "audio_projection"),
    Part("style encoder", "prior"),
    Part("style layers", "style"),
)
OF_STYLE = ("prior", "style")


def untrained_parts(folder: Path | None) -> list[Part]:
    """The parts of a saved model that hold what they began with; none of a model without a folder.

    Raises:
        InputError: if one of its records is damaged.
    """
    if folder is None:
        return []
    imported, stages = owners(folder), [entry["stage"] for entry in training_records(folder)]
    if not imported and not stages:
        return []
    return [part for part in PARTS if part.stage not in stages and part.imported_as not in imported]


def check_trained(folder: Path | None, *, styled: bool) -> None:
    """Whether a model can make videos, and warn of what they will lack.

    Args:
        folder: of the saved model; None where it is not known what it went through.
        styled: a style is asked for.

    Raises:
        InputError: it can make nothing but noise.
    """
    parts = untrained_parts(folder)
    without = [part for part in parts if part.stage not in OF_STYLE]
    if GUIDER in parts:
        raise InputError(
            f"{folder}: can only make noise, untrained are {_listing(without)}; train them in this order, or "
            "`svp import v-express` into a new folder"
        )
    if without:
        _warn(f"{folder}: untrained are {_listing(without)}; until then the mouth does not follow the sound")
    if styled:
        _warn_of_styles(folder, parts)


def check_styles_trained(folder: Path | None) -> None:
    """Warn if a model has learned nothing of styles yet."""
    _warn_of_styles(folder, untrained_parts(folder))


def _warn_of_styles(folder: Path | None, parts: list[Part]) -> None:
    if without := [part for part in parts if part.stage in OF_STYLE]:
        _warn(f"{folder}: untrained are {_listing(without)}; until then styles mean nothing to this model")


def _listing(parts: list[Part]) -> str:
    by_stage = [(stage, [part.name for part in of]) for stage, of in groupby(parts, lambda part: part.stage)]
    return ", ".join(f"{' and '.join(names)} (`svp train {stage}`)" for stage, names in by_stage)


def _warn(text: str) -> None:
    warnings.warn(text, InputWarning, stacklevel=2)
