"""A saved pipeline on disk, checked part by part before diffusers opens it: what is broken is named by its file."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from os import PathLike
from pathlib import Path

from safetensors import SafetensorError, safe_open

from svp.diffusion.settings import PipelineSettings
from svp.errors import InputError
from svp.speech.layout import AUDIO_ENCODER, published_as
from svp.weights.config import INDEX, TRAINING_RECORD, read_config
from svp.weights.provenance import RECORD_NAME, imported_files, imported_weights
from svp.weights.registry import Weight, find_weight
from svp.weights.terms import tell_terms

REMEDY = "copy or save the model again"
ASSETS = Path(__file__).parents[1] / "assets"
SHIPPED = ("mini",)


def find_model(name: str | PathLike[str]) -> Path:
    """The folder of a saved model: an existing folder first, else a shipped model by its name.

    Raises:
        InputError: if it is neither.
    """
    folder = Path(name)
    if str(folder) in SHIPPED and not (folder / INDEX).is_file():
        folder = ASSETS / folder
    if not (folder / INDEX).is_file():
        if (folder / RECORD_NAME).is_file():
            raise InputError(
                f"{name}: its UNet is missing; add it with `svp import sd15 SOURCE -o {name}`, or v-express"
            )
        problem = f"has no {INDEX}" if folder.is_dir() else "no such model"
        raise InputError(
            f"{name}: {problem}; name a folder with a saved model, or {' or '.join(SHIPPED)} where the installed "
            "package contains it"
        )
    return folder


def model_folder(path: Path) -> Path:
    """A model folder itself, or the one a training run wrote."""
    return path / "model" if (path / "model").is_dir() else path


def find_trained(name: str | PathLike[str]) -> Path:
    """As `find_model`; the folder of a training run means the model that it wrote."""
    return find_model(model_folder(Path(name)))


def saved_settings(folder: Path) -> PipelineSettings:
    """What a saved model says about itself; no network is loaded for that.

    Raises:
        InputError: if it says nothing, or it cannot be read.
    """
    index = folder / INDEX
    return PipelineSettings.parse(read_config(index, REMEDY).get("settings"), str(index))


def fetched_encoder(folder: Path) -> Weight | None:
    """The encoder of sound that an imported model takes from outside of its folder; None if there is none."""
    if not imported_files(folder) or not (folder / INDEX).is_file() or (folder / AUDIO_ENCODER).is_dir():
        return None
    settings = read_config(folder / INDEX, REMEDY).get("settings") or {}
    kind = published_as(settings.get("audio_encoder", ""))
    return None if kind is None else find_weight(kind)


def foreign_weights(folder: Path) -> list[Weight]:
    """The weights of others that a model uses: imported, or an encoder of sound that will be fetched."""
    fetched = fetched_encoder(folder)
    return [*imported_weights(folder), *([] if fetched is None else [fetched])]


def tell_terms_of(*folders: Path) -> None:
    """Tell the terms of the foreign weights in model folders, see `tell_terms`; before they are used."""
    tell_terms(weight for folder in folders for weight in foreign_weights(folder))


def check_model_folder(folder: Path, replaced: Collection[str] = ()) -> None:
    """Whether every part that the index names is there, with readable configurations and whole weights.

    Only the headers of the weights are read: they say how long the file must be.

    Args:
        folder: with the index and one sub-folder per part.
        replaced: parts that the caller brings along.

    Raises:
        InputError: naming the first file or part that is missing or broken.
    """
    index = read_config(folder / INDEX, REMEDY)
    for name, kind in index.items():
        if name in replaced or not isinstance(kind, list) or kind[0] is None:  # a setting, or an absent optional part
            continue
        part = folder / name
        if not part.is_dir():
            raise InputError(f"{part}: this part of the model is missing; {REMEDY}")
        for path in sorted(part.glob("*.json")):
            read_config(path, REMEDY)
        for path in sorted(part.glob("*.safetensors")):
            try:
                with safe_open(path, framework="numpy"):
                    pass
            except (SafetensorError, OSError) as error:
                raise InputError(f"{path}: damaged or cut short ({error}); {REMEDY}") from error


def keep_imports(source: Path, target: Path) -> None:
    """Copy what a model folder holds beside its networks: records of imports and training, an encoder of sound."""
    if source.resolve() == target.resolve():
        return
    for name in (RECORD_NAME, TRAINING_RECORD):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    if (source / AUDIO_ENCODER).is_dir():
        shutil.copytree(source / AUDIO_ENCODER, target / AUDIO_ENCODER, dirs_exist_ok=True)


def unusable_model(folder: Path, error: Exception) -> InputError:
    """The error for a folder of whole files that do not make a model: a wrong key, another shape."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return InputError(f"{folder}: {lines[0].rstrip('.:; ')}; {REMEDY}")
