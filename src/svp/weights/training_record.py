"""`training.json` in a model folder: the stages that the model went through, or that an import stands for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from svp.errors import InputError
from svp.weights.config import TRAINING_RECORD


def training_records(folder: Path) -> list[dict[str, Any]]:
    """An entry per stage in the order in which they were done, each with `stage`; none for weights without a record.

    Raises:
        InputError: if the record is damaged.
    """
    path = folder / TRAINING_RECORD
    if not path.exists():
        return []
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return [dict(entry, stage=str(entry["stage"])) for entry in entries]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: not readable as a record of stages; copy or save the model again") from error
