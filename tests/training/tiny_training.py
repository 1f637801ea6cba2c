"""Options of a training that takes seconds."""

from pathlib import Path

from svp.training.options import TrainOptions, recipe


def small_options(stage: str, data: Path, init: Path | None, preset: str = "mini", **changes) -> TrainOptions:
    """Three quick steps of a stage, no averaging, so that every gradient shows."""
    small = {"steps": 3, "warmup_steps": 0, "ema_decay": 0.0, "learning_rate": 1e-2, "checkpoint_every": 2}
    small["validate_every"] = 3
    if stage == "prior":
        small |= {"groups": 2, "per_group": 2}
    else:
        small["batch_size"] = 2
    if stage in ("appearance", "motion", "style"):
        small |= {"drop_each": 0.0, "drop_all": 0.0, "reference_distance": 2}
    if stage in ("motion", "style"):
        small["frames"] = 4
    return recipe(preset, stage, data, init, **(small | changes))
