"""Configurations beside weights, JSON objects, and the names of those that a model has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from svp.errors import InputError

INDEX = "model_index.json"
TRAINING_RECORD = "training.json"  # of the stages that a model went through


def read_config(path: Path, remedy: str = "download it again") -> dict[str, Any]:
    """A configuration.

    Raises:
        InputError: there is none, or it is no JSON object; the message ends with the remedy.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; download the whole folder") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}); {remedy}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds no JSON object; {remedy}")
    return values
