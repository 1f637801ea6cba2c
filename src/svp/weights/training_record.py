"""`training.json` in a model folder: the stages that the model went through, or that an import stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from svp.weights.config import TRAINING_RECORD, read_record


def training_records(folder: Path) -> list[dict[str, Any]]:
    """An entry per stage in the order in which they were done, each with `stage`; none for weights without a record.

    Raises:
        InputError: if the record is damaged.
    """

    def staged(entry: dict[str, Any]) -> dict[str, Any]:
        return dict(entry, stage=str(entry["stage"]))

    return read_record(folder / TRAINING_RECORD, staged, "stages", "copy or save the model again")
