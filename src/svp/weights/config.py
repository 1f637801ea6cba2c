"""Configurations beside weights, JSON objects, and the names of those that a model has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from svp.errors import InputError

INDEX = "model_index.json"
TRAINING_RECORD = "training.json"  # of the stages that a model went through

Entry = TypeVar("Entry")


def read_config(path: Path, remedy: str = "download it again") -> dict[str, Any]:
    """A configuration.

    Raises:
        InputError: there is none, or it is no JSON object; the message ends with the remedy.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; download the whole folder") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}); {remedy}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds no JSON object; {remedy}")
    return values


def read_record(path: Path, parse: Callable[[Any], Entry], of: str, remedy: str) -> list[Entry]:
    """The entries of a record, a JSON list; none where there is no such file.

    Raises:
        InputError: it is damaged; the message says of what it is a record and ends with the remedy.
    """
    if not path.exists():
        return []
    try:
        return [parse(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{path}: not readable as a record of {of}; {remedy}") from error
