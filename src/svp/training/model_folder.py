"""The folder between two stages: a saved pipeline with a record of the stages it went through."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from svp.diffusion.build import build_pipeline
from svp.diffusion.model_folder import find_trained
from svp.diffusion.pipeline import SVPPipeline
from svp.errors import InputError
from svp.media.whole_file import writing
from svp.presets import PRESETS, Preset
from svp.weights.config import TRAINING_RECORD
from svp.weights.training_record import training_records


def stages_done(init: Path | None) -> list[str]:
    """Names of the stages a model went through; none for random or foreign weights."""
    return [entry["stage"] for entry in _records(init)]


def began_at_random(init: Path | None) -> bool:
    """Whether the first stage of a model began with random weights, or there is no model yet."""
    records = _records(init)
    return init is None or (bool(records) and records[0].get("random_start", False))


def find_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        InputError: if there is none.
    """
    if name not in PRESETS:
        raise InputError(f"--preset {name}: unknown; presets are {', '.join(PRESETS)}")
    return PRESETS[name]


def load_init(preset: str, init: Path | None, seed: int, expression_encoder: str) -> SVPPipeline:
    """The pipeline to train: from a folder, or with random weights from the seed, for the data's expressions.

    Raises:
        InputError: if there is no such preset or model, or the model has other sizes than the preset.
    """
    sizes = find_preset(preset)
    if init is None:
        return build_pipeline(sizes.measured_by(expression_encoder), seed)
    pipeline = SVPPipeline.from_pretrained(find_trained(init))
    for name, wanted in sizes.unet.model_dump(mode="json").items():
        has = pipeline.unet.config[name]
        if json.loads(json.dumps(has)) != wanted:
            raise InputError(
                f"{init}: {name} of its UNet is {has}, preset {preset} has {wanted}; choose its own preset"
            )
    return pipeline


def save_model(pipeline: SVPPipeline, model: Path, init: Path | None, record: dict[str, object]) -> None:
    """Write the pipeline with the records of `init` and a new one; the folder changes only when all is written."""
    partial = model.with_name(model.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with writing(partial):
        pipeline.save_pretrained(partial)
    (partial / TRAINING_RECORD).write_text(json.dumps([*_records(init), record], indent=2) + "\n")
    shutil.rmtree(model, ignore_errors=True)
    partial.rename(model)


def _records(init: Path | None) -> list[dict[str, Any]]:
    return [] if init is None else training_records(find_trained(init))
